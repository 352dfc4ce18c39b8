const WORD = 0xffff_ffffn
const LONG = 0xffff_ffff_ffff_ffffn

/** NH of UMAC (RFC 4418 section 5.2.2), by its text: `message` is padded with zeros to a multiple of 32 bytes. */
export function nhReference(key: Uint8Array, message: Uint8Array): bigint {
  const padded = new Uint8Array(Math.ceil(message.length / 32) * 32)
  padded.set(message)
  const [k, m] = [new DataView(key.buffer, key.byteOffset), new DataView(padded.buffer)]
  const word = (view: DataView, index: number): bigint => BigInt(view.getUint32(4 * index, true))
  const sum = (index: number): bigint => (word(m, index) + word(k, index)) & WORD
  let hash = 0n
  for (let index = 0; index < padded.length / 4; index += 8) {
    for (let lane = 0; lane < 4; lane++) hash += sum(index + lane) * sum(index + lane + 4)
  }
  return hash & LONG
}
