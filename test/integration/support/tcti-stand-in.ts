import koffi from 'koffi';
import { compileLibrary } from './compile-library.ts';

/** A call that waits for the test to let it end. */
type WaitingCall = 'transmit' | 'receive';

/** Compiles the stand-in for libtss2-tctildr; see test/native/tcti-stand-in.c. */
export function buildTctiStandIn() {
  const { library, remove } = compileLibrary('tcti-stand-in');
  const loaded = koffi.load(library);
  const at = loaded.func('stand_in_at', 'str', []);
  const pass = loaded.func('stand_in_pass', 'void', []);
  const trace = loaded.func('stand_in_trace', 'str', []);
  return {
    library,
    remove,
    /** Waits until that call waits in the library. */
    async reach(call: WaitingCall): Promise<void> {
      while (at() !== call) await new Promise((resolve) => setTimeout(resolve, 1));
    },
    /** Lets the waiting call end. */
    pass: (): void => pass(),
    /** All calls on the context; `!` marks one that was refused. */
    trace: (): string => trace(),
  };
}
