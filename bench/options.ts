import { InvalidArgumentError } from 'commander'

/** Parses an option's value that is a whole number within bounds. */
export const whole =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
    return value
  }

/** Parses names with commas between. @param kind what there is `all` of */
export const someOf =
  <Thing extends { readonly name: string }>(kind: string, all: readonly Thing[]) =>
  (text: string): readonly Thing[] =>
    text.split(',').map((name) => {
      const thing = all.find((one) => one.name === name)
      if (thing === undefined) throw new InvalidArgumentError(`There is no ${kind} ${JSON.stringify(name)}.`)
      return thing
    })
