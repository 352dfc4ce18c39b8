import { afterEach } from 'vitest'
import { Lab, type LabOptions } from '../lab/lab.ts'

/** Returns what brings up a lab for a test of the file; it is taken down with the test. */
export function useLabs(): (options: LabOptions) => Lab {
  const labs: Lab[] = []
  afterEach(() => {
    for (const lab of labs.splice(0)) lab.down()
  })
  return (options) => {
    const lab = Lab.up(options)
    labs.push(lab)
    return lab
  }
}
