import { writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { checkTransfer } from '../../../src/deployer/check-transfer.ts'
import { expectFailure } from '../io/expect-failure.ts'
import { useTemporaryFolder } from '../io/temporary-folder.ts'

const path = useTemporaryFolder()

it('finds out before a fetch that this machine cannot send it', async () => {
  await expectFailure(checkTransfer({ interface: 'nowhere0' }), 'INTERFACE_NOT_FOUND', 'nowhere0')
  await expectFailure(checkTransfer({ interface: '127.0.0.1', group: 'ff15::1' }), 'INTERFACE_NOT_FOUND', '127.0.0.1')
  await expectFailure(checkTransfer({ key: path('none.key') }), 'KEY_UNREADABLE', path('none.key'))
  writeFileSync(path('open.key'), `skilfish group key 1\nkey ${'a'.repeat(64)}\n`, { mode: 0o644 })
  await expectFailure(checkTransfer({ key: path('open.key') }), 'KEY_EXPOSED', path('open.key'))
})

it('has nothing against one that can be sent', async () => {
  writeFileSync(path('group.key'), `skilfish group key 1\nkey ${'a'.repeat(64)}\n`, { mode: 0o600 })
  await expect(checkTransfer({ interface: '127.0.0.1', key: path('group.key'), ttl: 2 })).resolves.toBeUndefined()
  await expect(checkTransfer({})).resolves.toBeUndefined()
})
