export { CodecError } from '../../errors/codec-error.ts';
export {
  type AnyCodec,
  type BitRange,
  type Codec,
  decode,
  encode,
  expectEnd,
  type FieldShapes,
  Reader,
  type Shape,
  Writer,
  withinField,
  withWriter,
} from './codec.ts';
export { type FieldCodecs, list, readFields, sized, sizedOptional, struct, tagged, writeFields } from './composed.ts';
export { bitField, bytes16, fixedBytes, oneOf, unsigned, unsigned64 } from './simple.ts';
