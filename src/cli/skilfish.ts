#!/usr/bin/env node
import { loadProgram } from './load-program.ts'

// A host starts this program for every step, beside machines that need its processors.
loadProgram(process.argv[2] === 'host' && process.argv.length === 3 ? 'host' : 'deploy')
