import { createHash } from 'node:crypto'
import type { BaseName } from './host-protocol.ts'
import type { Template } from './storage/index.ts'

/** What a host calls a template: a name for people, and what no other content has. */
export function baseName({ name, identity, sizeBytes }: Template): BaseName {
  const readable = name.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 80)
  const digest = createHash('sha256').update(identity).digest('hex').slice(0, 16)
  return { key: `${readable}-${digest}`, identity, sizeBytes }
}
