import { writeFileSync } from 'node:fs'
import { afterEach, it, vi } from 'vitest'
import { openSink, openSource } from '../../../src/io/index.ts'
import { expectFailure } from './expect-failure.ts'
import { useTemporaryFolder } from './temporary-folder.ts'

const path = useTemporaryFolder()
afterEach(() => vi.unstubAllEnvs())

/** A program that takes the place of rbd. */
function standIn(says: string, status: number): void {
  writeFileSync(path('rbd'), `#!/bin/sh\necho "${says}" >&2\nexit ${status}\n`, { mode: 0o755 })
  vi.stubEnv('PATH', path())
}

// What rbd 18 says and ends with: 1 and 2 are also the numbers of EPERM and ENOENT.
it.each([
  ["rbd: couldn't connect to the cluster!", 2],
  ['global_init: unable to open config file from search list /nonexistent', 1],
  ['unable to get monitor info from DNS SRV with service name: ceph-mon', 2],
])('tells a cluster that is not to be had from an image that is not: %s', async (says, status) => {
  standIn(says, status)
  await expectFailure(openSink('rbd:foo/bar'), 'RBD_UNREACHABLE', 'rbd:foo/bar', says)
  await expectFailure(openSource('rbd:foo/bar'), 'RBD_UNREACHABLE', 'rbd:foo/bar', says)
})

it('takes other words of it for what the status says', async () => {
  standIn("rbd: error opening pool 'foo': (2) No such file or directory", 2)
  await expectFailure(openSink('rbd:foo/bar'), 'TARGET_NOT_FOUND', 'error opening pool')
})
