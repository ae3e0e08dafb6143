import { readFileSync } from 'node:fs';

/** test/vectors/diagnostics.json, which contains its sources. */
export const diagnostics = JSON.parse(readFileSync('test/vectors/diagnostics.json', 'utf8')) as {
  readonly dsregcmd: {
    readonly ngcDocSample: string;
    readonly hybridComplete: string;
    readonly windows: string;
    readonly joinState: readonly Readonly<
      Record<'AzureAdJoined' | 'EnterpriseJoined' | 'DomainJoined' | 'state', string>
    >[];
  };
  readonly events: {
    readonly 358: { readonly level: string; readonly first: string };
    readonly 360: { readonly level: string; readonly first: string; readonly bodyWithCloudTrust: string };
    readonly 362: { readonly level: string; readonly first: string; readonly body: string };
    readonly bodyTemplate: string;
  };
  readonly errors: readonly Readonly<Record<'code' | 'name' | 'meaning' | 'remedy' | 'class', string>>[];
};
