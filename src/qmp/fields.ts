import { SkilfishError } from '../errors.ts'
import { isObject, type JsonObject } from './qmp-codec.ts'

/** The members of an object that QEMU returned, each looked at before it is believed. Every method throws QMP_INVALID. */
export class Fields {
  readonly #command: string
  readonly #object: JsonObject

  /** @param command what returned it, for messages */
  constructor(command: string, value: unknown) {
    this.#command = command
    if (!isObject(value)) throw this.#wrong('the answer', value, 'an object')
    this.#object = value
  }

  /** Those of each object in a list. */
  static ofList(command: string, value: unknown): readonly Fields[] {
    const list: unknown = value
    if (!Array.isArray(list))
      throw new SkilfishError('QMP_INVALID', `cannot use what ${command} of QEMU returns: it is no list`)
    return list.map((item) => new Fields(command, item))
  }

  text(name: string): string {
    const value = this.#object[name]
    if (typeof value === 'string') return value
    throw this.#wrong(name, value, 'text')
  }

  optionalText(name: string): string | undefined {
    return this.#object[name] === undefined ? undefined : this.text(name)
  }

  flag(name: string): boolean {
    const value = this.#object[name]
    if (typeof value === 'boolean') return value
    throw this.#wrong(name, value, 'true or false')
  }

  optionalFlag(name: string): boolean | undefined {
    return this.#object[name] === undefined ? undefined : this.flag(name)
  }

  /** A whole number from 0 to 2^53 - 1: JSON numbers behind that are not exact. */
  count(name: string): number {
    const value = this.#object[name]
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
    throw this.#wrong(name, value, 'a whole number up to 2^53 - 1')
  }

  object(name: string): Fields {
    return new Fields(this.#command, this.#object[name])
  }

  /** An absent list has no items. */
  list(name: string): readonly Fields[] {
    return Fields.ofList(this.#command, this.#object[name] ?? [])
  }

  #wrong(name: string, value: unknown, wanted: string): SkilfishError {
    const text = `${name} is ${value === undefined ? 'missing' : JSON.stringify(value).slice(0, 100)}; expected ${wanted}`
    return new SkilfishError('QMP_INVALID', `cannot use what ${this.#command} of QEMU returns: ${text}`)
  }
}
