import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { isIncompleteTarget, openSink } from '../../../src/io/index.ts'
import { expectFailure } from './expect-failure.ts'
import { useTemporaryFolder } from './temporary-folder.ts'

const path = useTemporaryFolder()

it.each(['removed', 'replaced'])(
  'a file that is %s while it is received is not complete, nor is what took its place',
  async (how) => {
    const sink = await openSink(path('target'))
    await sink.open({ name: 'disk.img', imageId: 'ab12', sizeBytes: 10_000 })
    await sink.write(0, new Uint8Array(10_000).fill(1))
    linkSync(path('target'), path('elsewhere'))
    rmSync(path('target'))
    if (how === 'replaced') writeFileSync(path('target'), 'mine')
    await expectFailure(sink.finish(10_000), 'TARGET_FAILED', `${path('target')}: it was removed or replaced`)
    await sink.abort()
    expect(await isIncompleteTarget(path('elsewhere'))).toBe(true)
    if (how === 'replaced') expect(readFileSync(path('target'), 'latin1')).toBe('mine')
    else expect(existsSync(path('target'))).toBe(false)
  },
)
