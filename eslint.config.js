import js from '@eslint/js'
import tseslint from 'typescript-eslint'

/** Bytes and numbers only: no clock, no randomness, no timers, no Node. */
const PURE_FOLDERS = ['protocol', 'fec', 'lzo', 'ratelimit', 'sparse', 'rbd', 'sender/machine', 'receiver/machine']
const PURE_FILES = ['errors', 'random', 'wasm', 'byte-queue', 'qmp/qmp-codec']

const IMPURE_GLOBALS = [
  'Date',
  'performance',
  'process',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'Buffer',
  'fetch',
  'crypto',
].map((name) => ({ name, message: 'Pure folders take time, randomness and bytes as arguments (docs/architecture.md)' }))

export default tseslint.config(
  {
    ignores: ['dist', 'node_modules', 'coverage', 'src/*/generated', 'src/*/assembly', 'bench/results', '**/*.cjs'],
  },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['*.js', 'scripts/*.mjs'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      // Typed arrays inside their bounds: `!` states the invariant where `noUncheckedIndexedAccess` cannot see it.
      '@typescript-eslint/no-non-null-assertion': 'off',
      'max-lines': ['error', { max: 500 }],
    },
  },
  {
    files: [...PURE_FOLDERS.map((folder) => `src/${folder}/**/*.ts`), ...PURE_FILES.map((file) => `src/${file}.ts`)],
    rules: {
      'no-restricted-globals': ['error', ...IMPURE_GLOBALS],
      'no-restricted-properties': ['error', { object: 'Math', property: 'random', message: 'Pass a seeded Random' }],
      'no-restricted-imports': [
        'error',
        { patterns: [{ group: ['node:*'], message: 'Pure folders do not use Node (docs/architecture.md)' }] },
      ],
    },
  },
  {
    files: ['**/*.mjs', '*.js'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly', Buffer: 'readonly' } },
  },
)
