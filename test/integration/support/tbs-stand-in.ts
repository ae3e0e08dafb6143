import { type CompiledLibrary, compileLibrary } from './compile-library.ts';

/** Compiles the stand-in for tbs.dll. The environment variable TBS_SOCKET selects the swtpm behind it. */
export const buildTbsStandIn = (): CompiledLibrary => compileLibrary('tbs-stand-in');
