import { SkilfishError } from '../../errors.ts'
import { openSource } from '../../io/index.ts'
import { ReceiversFailedError, send } from '../../sender/index.ts'
import type { StepHooks, StepRequest, StepResults } from '../host-protocol.ts'

/** How long hosts may take to begin to listen, milliseconds: from the first of them, and altogether. */
const GATHER_MS = 30_000
const START_TIMEOUT_MS = 120_000

/** Sends a template to hosts that begin to listen meanwhile. What fails at them they tell themselves. */
export async function sendBase(
  { source, cephConf, base, place, freshKey, receiverCount, maxBitrate }: StepRequest & { step: 'send' },
  { signal, onProgress, onCapChange }: StepHooks,
): Promise<StepResults['send']> {
  const opened = await openSource(source, cephConf === undefined ? {} : { cephConf })
  if (opened.identity !== base.identity) {
    await opened.close?.()
    const text =
      'it is not the template that the deployer has seen; check the configuration of Ceph here, and fetch again'
    throw new SkilfishError('SOURCE_CHANGED', `cannot send ${source}: ${text}`)
  }
  const handle = send({
    ...{ source: opened, imageId: base.identity, ...place, minReceivers: receiverCount },
    ...(freshKey === undefined ? {} : { key: Buffer.from(freshKey, 'hex') }),
    ...{ maxWaitMs: GATHER_MS, startTimeoutMs: START_TIMEOUT_MS, signal },
    ...(maxBitrate === undefined ? {} : { maxBitrate }),
    onProgress: ({ percent, stats }) => onProgress(percent ?? 0, stats.rateBitsPerSec),
  })
  onCapChange?.((cap) => handle.setMaxBitrate(cap))
  try {
    return { wireBytes: (await handle.finished).stats.wireBytes }
  } catch (error) {
    if (error instanceof ReceiversFailedError) return { wireBytes: error.result.stats.wireBytes }
    throw error
  }
}
