import { open, readdir, readFile, stat, writeFile, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { SkilfishError } from '../../errors.ts'
import { errnoName, makeFolder, openSource } from '../../io/index.ts'
import type { BlockNodeOptions } from '../../qmp/index.ts'
import type { ImageRange } from '../extents.ts'
import { removeIfEmpty } from '../host/host-folder.ts'
import { mappedRanges } from '../host/image-map.ts'
import { runTool } from '../host/tool.ts'
import { FileServer, type ListenPlace } from './file-server.ts'
import { readJson, rename, rm, told, writeJson } from './files.ts'
import { acquireLease, LEASE_MS, type LeasePlace, type LeaseRecord } from './lease.ts'
import {
  generationOf,
  isOutdated,
  snapshotName,
  type ClusterRecord,
  type Lease,
  type LeaseWait,
  type Storage,
  type Template,
  type VmRecord,
} from './storage.ts'

const CODE = 'STORAGE_FAILED'

/**
 * Storage in files of this machine: the template is a raw image, the images of machines are qcow2 files above it, in the folder
 * `TEMPLATE.skilfish/CLUSTER`; one `qemu-storage-daemon` for each cluster offers them over NBD.
 */
export class FileStorage implements Storage {
  readonly #path: string
  readonly #cluster: string
  readonly #folder: string
  readonly #server: FileServer
  /** The last that was acquired. Without one nobody else is expected. */
  #lease: Lease | undefined

  /** @param path of the template, absolute @param listen where hosts reach this machine */
  constructor(path: string, cluster: string, listen: ListenPlace) {
    this.#path = path
    this.#cluster = cluster
    this.#folder = join(`${path}.skilfish`, cluster)
    this.#server = new FileServer(this.#folder, path, listen)
  }

  async template(): Promise<Template> {
    const source = await openSource(this.#path)
    await source.close?.()
    const { identity, sizeBytes } = source
    if (identity === undefined || sizeBytes === undefined) {
      const wanted = 'a template is a raw image in a regular file'
      throw new SkilfishError('CLUSTER_INVALID', `cannot use ${this.#path} as a template; ${wanted}`)
    }
    return { name: basename(this.#path), identity, sizeBytes, source: this.#path }
  }

  async acquireLease(wait: LeaseWait): Promise<Lease> {
    // No folder beside a template that is not there.
    await this.template()
    const lease = (this.#lease = await acquireLease(this.#cluster, this.#leasePlace(join(this.#folder, 'lease')), wait))
    return {
      ...lease,
      release: async () => {
        await lease.release()
        await removeIfEmpty(this.#folder)
        await removeIfEmpty(dirname(this.#folder))
      },
    }
  }

  async clusterRecord(): Promise<ClusterRecord> {
    return (await readJson<ClusterRecord>(this.#clusterRecord)) ?? {}
  }

  setClusterRecord(record: ClusterRecord): Promise<void> {
    return writeJson(this.#clusterRecord, record)
  }

  async vmRecord(vm: string): Promise<VmRecord | undefined> {
    const record = await readJson<VmRecord>(this.#record(vm))
    if (record === undefined || (await stat(this.#image(vm)).catch(() => undefined)) === undefined) return undefined
    return record
  }

  setVmRecord(vm: string, record: VmRecord): Promise<void> {
    return writeJson(this.#record(vm), record)
  }

  async createVm(vm: string, record: VmRecord): Promise<void> {
    const image = this.#image(vm)
    const partial = `${image}.part`
    if ((await stat(image).catch(() => undefined)) !== undefined) {
      throw new SkilfishError(CODE, `cannot make ${image}: it is there, without a record; move it away`)
    }
    await rm(partial, { force: true })
    // QEMU's program writes to what is there, and would let everybody read what it makes.
    await told(`make ${partial}`, writeFile(partial, '', { mode: 0o600 }))
    const backing = ['-F', 'raw', '-b', this.#path]
    await runTool(CODE, 'qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, partial])
    await runTool(CODE, 'qemu-img', ['snapshot', '-c', snapshotName(0), partial])
    // Without its image a record is none.
    await this.setVmRecord(vm, record)
    await rename(partial, image)
  }

  async removeVm(vm: string): Promise<void> {
    await this.#server.close(vm)
    this.#lease?.check()
    await rm(`${this.#image(vm)}.part`, { force: true })
    // Somebody else's, without a record, stays.
    if ((await this.vmRecord(vm)) !== undefined) await rm(this.#image(vm), { force: true })
    await rm(this.#record(vm), { force: true })
  }

  async removeCluster(): Promise<void> {
    const names = await readdir(this.#folder).catch(unlessMissing(`read ${this.#folder}`))
    if (names === undefined) return
    if (names.some((name) => name.endsWith('.qcow2'))) return
    await this.#server.stop()
    await rm(this.#clusterRecord, { force: true })
  }

  async remoteImage(vm: string, generation: number): Promise<BlockNodeOptions> {
    // Nothing was ever written to it: all machines may read the template, through one cache.
    if (generation === 0) return this.#server.offerTemplate()
    return this.#server.offer(vm, this.#image(vm), 'read')
  }

  openTarget(vm: string): Promise<BlockNodeOptions> {
    return this.#server.offer(vm, this.#image(vm), 'write')
  }

  closeTarget(vm: string): Promise<void> {
    return this.#server.close(vm)
  }

  async snapshot(vm: string, generation: number): Promise<void> {
    await this.#server.close(vm)
    if ((await this.#snapshots(vm)).includes(generation)) return
    await this.#changeSnapshot('-c', vm, generation)
  }

  async rollBack(vm: string, generation: number): Promise<void> {
    await this.#server.close(vm)
    await this.#changeSnapshot('-a', vm, generation)
    await this.#removeSnapshots(vm, (later) => later > generation)
  }

  async prune(vm: string, generation: number): Promise<void> {
    await this.#server.close(vm)
    await this.#removeSnapshots(vm, (older) => isOutdated(older, generation))
  }

  async #removeSnapshots(vm: string, isUnwanted: (generation: number) => boolean): Promise<void> {
    for (const generation of (await this.#snapshots(vm)).filter(isUnwanted))
      await this.#changeSnapshot('-d', vm, generation)
  }

  /** Each change of a method is made only under the lease: others may have it since the one before. */
  async #changeSnapshot(option: '-a' | '-c' | '-d', vm: string, generation: number): Promise<void> {
    this.#lease?.check()
    await runTool(CODE, 'qemu-img', ['snapshot', option, snapshotName(generation), this.#image(vm)])
  }

  async uniqueRanges(vm: string, generation: number): Promise<readonly ImageRange[]> {
    if (generation === 0) return []
    return mappedRanges(CODE, ['-U', this.#image(vm)], ({ depth, present }) => depth === 0 && present)
  }

  async #snapshots(vm: string): Promise<readonly number[]> {
    const text = await runTool(CODE, 'qemu-img', ['info', '-U', '--output=json', this.#image(vm)])
    const { snapshots = [] } = JSON.parse(text) as { snapshots?: { name: string }[] }
    return snapshots.flatMap(({ name }) => generationOf(name) ?? [])
  }

  /** @returns undefined when there is one */
  async #makeLease(path: string, attempts = 3): Promise<FileHandle | undefined> {
    await told(`make ${this.#folder}`, makeFolder(this.#folder))
    const opened = open(path, 'wx', 0o600)
    try {
      return await opened
    } catch (error) {
      if (errnoName(error) === 'EEXIST') return undefined
      // Whoever has given the lease back has just taken the empty folder away.
      if (errnoName(error) === 'ENOENT' && attempts > 1) return this.#makeLease(path, attempts - 1)
      return told(`make ${path}`, opened)
    }
  }

  #leasePlace(path: string): LeasePlace {
    const read = async (at: string): Promise<LeaseRecord | undefined> => {
      const text = await readFile(at, 'utf8').catch(unlessMissing(`read ${at}`))
      if (text === undefined) return undefined
      try {
        return JSON.parse(text) as LeaseRecord
      } catch {
        // Its owner died while it wrote it, or is about to go on: the file's time tells.
        const file = await stat(at).catch(unlessMissing(`look at ${at}`))
        return file === undefined ? undefined : { owner: 'another deployer', expiresMs: file.mtimeMs + LEASE_MS }
      }
    }
    return {
      take: async (record) => {
        const handle = await this.#makeLease(path)
        if (handle === undefined) return false
        try {
          await told(
            `write ${path}`,
            handle.writeFile(JSON.stringify(record)).finally(() => handle.close()),
          )
          return true
        } catch (error) {
          // An empty one would keep everybody out for a minute.
          await rm(path, { force: true }).catch(() => undefined)
          throw error
        }
      },
      read: () => read(path),
      renew: async (record) => {
        const fresh = `${path}.${record.owner}`
        try {
          await told(`write ${fresh}`, writeFile(fresh, JSON.stringify(record), { mode: 0o600 }))
          await rename(fresh, path)
        } catch (error) {
          await rm(fresh, { force: true }).catch(() => undefined)
          throw error
        }
      },
      drop: async (owner) => {
        if ((await read(path))?.owner === owner) await rm(path, { force: true })
      },
    }
  }

  /** No machine has a name that begins so. */
  get #clusterRecord(): string {
    return join(this.#folder, '_cluster.json')
  }

  #image(vm: string): string {
    return join(this.#folder, `${vm}.qcow2`)
  }

  #record(vm: string): string {
    return join(this.#folder, `${vm}.json`)
  }
}

/** For what is read of files that may not be there: then it is undefined. */
const unlessMissing =
  (action: string) =>
  (error: unknown): Promise<undefined> =>
    errnoName(error) === 'ENOENT' ? Promise.resolve(undefined) : told(action, Promise.reject(error as Error))
