// The walls between folders (docs/architecture.md). `npm run check:walls` fails on a breach.
const PURE =
  '^src/((errors|random|wasm|byte-queue|qmp/qmp-codec)\\.ts|protocol|fec|lzo|ratelimit|sparse|rbd|(sender|receiver)/machine)'
const folder = '^src/([^/]+)/'

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'pure-folders-use-no-node',
      severity: 'error',
      from: { path: PURE },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'leaves-import-nothing-of-ours',
      severity: 'error',
      from: { path: '^src/(errors|random|wasm|digest|byte-queue|progress-stream)\\.ts$' },
      to: { path: '^src/' },
    },
    {
      name: 'pure-folders-import-nothing-above',
      severity: 'error',
      from: { path: '^src/(protocol|fec|lzo|ratelimit|sparse|rbd)/' },
      to: { path: '^src/(sender|receiver|trust|io|cli|index)' },
    },
    {
      name: 'sender-and-receiver-meet-in-protocol',
      severity: 'error',
      from: { path: '^src/(sender|receiver)/' },
      to: { path: '^src/(sender|receiver)/', pathNot: '^src/$1/' },
    },
    {
      name: 'machines-use-no-io',
      severity: 'error',
      from: { path: '^src/(sender|receiver)/machine/' },
      to: { path: '^src/(trust|io|cli|index|(sender|receiver)/[^/]+\\.ts)' },
    },
    {
      name: 'io-knows-no-protocol-rules',
      severity: 'error',
      from: { path: '^src/io/' },
      to: { path: '^src/(protocol|sender|receiver|trust|cli)/' },
    },
    {
      name: 'trust-knows-neither-sender-nor-receiver',
      severity: 'error',
      from: { path: '^src/trust/' },
      to: { path: '^src/(sender|receiver|cli|index)' },
    },
    {
      name: 'qmp-knows-only-errors-and-io',
      severity: 'error',
      from: { path: '^src/qmp/' },
      to: { path: '^src/', pathNot: '^src/(qmp|io)/|^src/errors\\.ts$' },
    },
    {
      name: 'transport-knows-no-virtual-machines',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(qmp|deployer|cli)/' },
      to: { path: '^src/(qmp|deployer)/' },
    },
    {
      name: 'hosts-know-neither-storage-nor-operations',
      severity: 'error',
      from: { path: '^src/deployer/host/' },
      to: { path: '^src/deployer/', pathNot: '^src/deployer/(host/|(host-protocol|extents)\\.ts$)' },
    },
    { name: 'library-knows-no-cli', severity: 'error', from: { pathNot: '^src/cli/' }, to: { path: '^src/cli/' } },
    {
      name: 'folders-are-imported-by-their-index',
      severity: 'error',
      from: { path: folder },
      to: { path: folder, pathNot: ['^src/$1/', '/index\\.ts$', '^src/[^/]+\\.ts$'] },
    },
    {
      name: 'root-imports-folders-by-their-index',
      severity: 'error',
      from: { path: '^src/[^/]+\\.ts$' },
      to: { path: folder, pathNot: '/index\\.ts$' },
    },
    {
      name: 'no-dev-dependencies-in-src',
      severity: 'error',
      from: { path: '^src' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: 'src/[^/]+/(generated|assembly)/' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
}
