// Loaded into a process with `--import`, writes what it takes for the time of day to the file that WALL_CLOCK_WITNESS names, ten times
// a second: one number of milliseconds a line.
import { appendFileSync } from 'node:fs'
import { setInterval } from 'node:timers'

const path = process.env['WALL_CLOCK_WITNESS']
setInterval(() => appendFileSync(path, `${Date.now()}\n`), 100).unref()
