import { linkSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { loadLibc } from '../../../src/io/libc.ts'
import { openSink } from '../../../src/io/open-sink.ts'
import { openSource } from '../../../src/io/open-source.ts'
import { expectFailure } from './expect-failure.ts'
import { useTemporaryFolder } from './temporary-folder.ts'

const path = useTemporaryFolder()
const libc = loadLibc()

describe.skipIf(libc === undefined)('a file', () => {
  it('is not received to while it is a source, by whatever name', async () => {
    writeFileSync(path('image'), 'precious')
    linkSync(path('image'), path('other'))
    const sources = [await openSource(path('image')), await openSource(path('other'))]
    for (const name of ['image', 'other']) await expectFailure(openSink(path(name)), 'TARGET_BUSY', path(name))
    await sources[0]?.close?.()
    await expectFailure(openSink(path('image')), 'TARGET_BUSY')
    expect(readFileSync(path('image'), 'utf8')).toBe('precious')
    await sources[1]?.close?.()
    await (await openSink(path('image'))).abort()
  })

  it('is neither sent nor received to twice while it is a target', async () => {
    writeFileSync(path('image'), 'old')
    const sink = await openSink(path('image'))
    await expectFailure(openSource(path('image')), 'SOURCE_BUSY', path('image'))
    await expectFailure(openSink(path('image')), 'TARGET_BUSY', path('image'))
    await sink.open({ name: 'image', imageId: 'ab12', sizeBytes: 3 })
    await sink.write(0, Buffer.from('new'))
    await expectFailure(openSink(path('image')), 'TARGET_BUSY', path('image'))
    await sink.finish(3)
    await (await openSource(path('image'))).close?.()
    expect(readFileSync(path('image'), 'utf8')).toBe('new')
  })
})
