import { spawn, spawnSync } from 'node:child_process';
import { toolEnvironment } from '../../programs.ts';
import { type FakeServer, startFakeServer } from './fake-server.ts';

/** The reason why an ordinary user cannot have a network namespace, in which they may listen on any port. */
export function namespaceMissing(): string | undefined {
  const { status, stderr, error } = spawnSync('unshare', ['-rn', '--', 'ip', 'link', 'set', 'lo', 'up'], {
    env: toolEnvironment(),
    encoding: 'utf8',
  });
  if (status === 0) return undefined;
  return `not root, and "unshare -rn" does not work (${error?.message ?? stderr.trim()})`;
}

/** Runs the command in a network namespace with only a loopback interface. Its process id stays the same. */
export const inNamespace = (command: readonly string[]): readonly string[] => [
  ...['unshare', '-rn', '--', 'sh', '-c', 'ip link set lo up && exec "$0" "$@"', ...command],
];

const RELAY = 'exec 3<>"/dev/tcp/$0/$1" || exit; cat <&3 & cat >&3; kill $!';

/** Forwards a free port here to a port in the network namespace of the process `pid`. */
export function relayInto(pid: number, host: string, port: number): Promise<FakeServer> {
  return startFakeServer((socket) => {
    const enter = ['-t', `${pid}`, '-U', '-n', '--preserve-credentials', 'bash', '-c', RELAY, host, `${port}`];
    const child = spawn('nsenter', enter, { stdio: ['pipe', 'pipe', 'ignore'], env: toolEnvironment() });
    // If one side closes, the other closes too; data in transit does not matter then.
    child.stdin.on('error', () => undefined);
    socket.pipe(child.stdin);
    child.stdout.pipe(socket);
  });
}
