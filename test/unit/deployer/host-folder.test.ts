import { closeSync, existsSync, mkdirSync, openSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { runStep, type StepHooks } from '../../../src/deployer/index.ts'
import { useTemporaryFolder } from '../io/temporary-folder.ts'

const at = useTemporaryFolder()
const HOOKS: StepHooks = { signal: new AbortController().signal, onProgress: () => undefined }
const BASE = { key: 'debian-1', identity: 'debian 1', sizeBytes: 4096 }
const HARDWARE = { qemu: 'qemu-system-x86_64', accelerator: 'tcg', memoryMiB: 128, cpus: 1, arguments: [] }

it('that cannot be made is told at once', async () => {
  const place = { folder: '/proc/skilfish', cluster: 'c', vm: 'a' }
  const remote = { driver: 'rbd', pool: 'p', image: 'i' } as const
  const boot = {
    step: 'boot',
    ...place,
    image: 'i',
    generation: 0,
    sizeBytes: 4096,
    remote,
    base: BASE,
    hardware: HARDWARE,
  } as const
  await expect(runStep(boot, HOOKS)).rejects.toMatchObject({
    code: 'HOST_FAILED',
    message: expect.stringContaining('no such file or directory at /proc/skilfish') as string,
  })
  const receive = { step: 'receive', folder: '/proc/skilfish', base: BASE, place: {} } as const
  await expect(runStep(receive, HOOKS)).rejects.toMatchObject({ code: 'HOST_FAILED' })
})

it.each(['receive', 'boot'] as const)(
  'is for this user alone at every level, when its first step is to %s',
  async (step) => {
    const [folder, hooks] = [at('above', 'host'), { ...HOOKS, signal: AbortSignal.abort(new Error('enough')) }]
    const made = step === 'receive' ? ['bases'] : ['vms', 'vms/c', 'vms/c/a']
    if (step === 'receive') {
      await expect(runStep({ step, folder, base: BASE, place: {} }, hooks)).rejects.toThrow()
    } else {
      const hardware = { ...HARDWARE, qemu: '/nonexistent/qemu' }
      const remote = { driver: 'file', filename: '/nonexistent/image' } as const
      const request = {
        step,
        folder,
        cluster: 'c',
        vm: 'a',
        image: 'i',
        generation: 0,
        sizeBytes: 4096,
        remote,
        base: BASE,
        hardware,
      }
      await expect(runStep(request, hooks)).rejects.toMatchObject({ code: 'QEMU_FAILED' })
    }
    const modes = [at('above'), folder, ...made.map((name) => join(folder, name))].map(
      (one) => statSync(one).mode & 0o777,
    )
    expect(new Set(modes)).toEqual(new Set([0o700]))
  },
)

it('is left empty by those that remove its last machine and template', async () => {
  const [folder, vm] = [at('host'), at('host', 'vms', 'c', 'a')]
  mkdirSync(vm, { recursive: true })
  writeFileSync(join(vm, 'vm.json'), JSON.stringify({ generation: 0, sizeBytes: 4096, base: 'local', committedAs: 1 }))
  mkdirSync(at('host', 'vms', 'other'))
  mkdirSync(at('host', 'bases'))
  for (const name of ['a.raw', 'a.json', 'b.part', 'b.part.skilfish']) writeFileSync(at('host', 'bases', name), '{}')
  const remove = { step: 'remove', folder, cluster: 'c', vm: 'a', isForced: false } as const
  await runStep(remove, HOOKS)
  expect([existsSync(dirname(vm)), readdirSync(at('host', 'vms'))]).toEqual([false, ['other']])
  await runStep({ ...remove, cluster: 'other' }, HOOKS)
  const evict = { step: 'evict', folder, keepBytes: 0, usedKeys: [] } as const
  expect(await runStep(evict, HOOKS)).toEqual({
    removed: expect.arrayContaining(['a.raw', 'b.part']) as string[],
    kept: [],
  })
  expect(readdirSync(folder)).toEqual([])
})

it('keeps templates that are in use, and tells by whom', async () => {
  const folder = at('host')
  mkdirSync(at('real', 'bases'), { recursive: true })
  symlinkSync(at('real'), folder)
  for (const name of ['a.raw', 'b.part', 'c.raw']) writeFileSync(join(folder, 'bases', name), 'x')
  const fd = openSync(join(folder, 'bases', 'b.part'), 'r')
  const evict = { step: 'evict', folder, keepBytes: 0, usedKeys: ['c'] } as const
  const us = expect.stringMatching(new RegExp(` \\(${process.pid}\\)$`)) as string
  expect(await runStep(evict, HOOKS)).toEqual({
    removed: ['a.raw'],
    kept: expect.arrayContaining([
      { name: 'b.part', usedBy: [us] },
      { name: 'c.raw', usedBy: ['machines of this cluster'] },
    ]) as object[],
  })
  expect(readdirSync(join(folder, 'bases')).sort()).toEqual(['b.part', 'c.raw'])
  closeSync(fd)
  expect(await runStep({ ...evict, usedKeys: [] }, HOOKS)).toMatchObject({ kept: [] })
})
