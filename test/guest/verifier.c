// The program of the test guest: input and output on a disk, every block of it checked.
//
//   verifier guest DEVICE [COMMAND]...   serves commands on standard input, a line each, after those that are given; ends when told to power off
//   verifier make PATH BLOCKS GENERATION writes an image in which every block is of that generation
//   verifier check PATH                  reads an image and checks every block
//
// Commands, done one after another:
//   run SECONDS [THREADS [WRITE_PERCENT [OPS_PER_SEC]]]   random reads and writes of one block; 0 seconds: until `stop`; 0 ops: no limit
//   verify                         reads the whole disk
//   write FROM COUNT GENERATION    writes blocks, then flushes
//   check FROM COUNT GENERATION    reads blocks that must be of that generation
// At once:
//   stop        ends a run
//   hello       tells of the disk
//   poweroff    ends everything; the power button does the same
//
// It answers in JSON, a line each: {"ready":…} at the start and for `hello`, {"report":…} once a second, {"done":…} after a command,
// {"refused":…} for one that cannot be done, {"bad":…} and {"failed":…} with particulars of the first few, {"poweroff":…} at the end.
//
// Block b of generation g is the numbers b and g and then a sequence that follows from both, so that a block says what it is, and nothing
// else can pass for it. Generation 0, which is that of base images, is zeros instead in the last of every four MiB: there the image has
// holes. Each write of a run has a generation of its own. What this program has not yet seen of a block since it started is taken from
// the block; from then on it must be what was written last.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
  BLOCK_BYTES = 4096,
  BLOCK_WORDS = BLOCK_BYTES / 8,
  CHUNK_BLOCKS = 256,          // read or written at once where all blocks are
  HOLE_PERIOD = 1024,          // blocks: 4 MiB
  HOLE_START = 768,
  WRITES_A_FLUSH = 64,         // of one thread
  MAX_THREADS = 16,
  MAX_QUEUE = 16,
  LINE_BYTES = 200,
  MAX_TOLD = 10,               // particulars of bad blocks, and of errors
  PAUSE_US = 200 * 1000,       // after an error
  BEHIND_US = 100 * 1000,      // a run with a limit does not make up for more than this
  POWER_BUTTONS = 8,
};
static const uint64_t UNKNOWN = UINT64_MAX;

enum { READ, WRITE, FLUSH, KINDS };
enum { RUN, VERIFY, WRITE_RANGE, CHECK_RANGE };

struct totals { uint64_t ops[KINDS], bad, errors; };

struct job {
  int kind;
  char text[LINE_BYTES];
  uint64_t from, count, generation;
  uint64_t seconds, threads, writePercent, opsPerSec;
  uint64_t startUs;
  struct totals before;
};

static int disk;
static uint64_t blockCount;
static uint64_t *generations;
static atomic_ullong nextGeneration;

static atomic_ullong ops[KINDS], bad, errors, digest;
static atomic_ullong intervalWorst[KINDS], jobWorst[KINDS];
static struct { atomic_ullong sinceUs; atomic_int kind; } underWay[MAX_THREADS];

static struct job job;
static pthread_t threads[MAX_THREADS];
static atomic_int activeThreads;
static atomic_bool stopping, poweringOff;
static bool isJobUnderWay;
static int threadsEnded; // event descriptor

static uint64_t nowUs(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000ull + time.tv_nsec / 1000;
}

static uint64_t mix(uint64_t block, uint64_t generation) {
  uint64_t x = block * 0x9E3779B97F4A7C15ull ^ (generation + 1) * 0xD1B54A32D192ED03ull;
  x = (x ^ x >> 32) * 0xBF58476D1CE4E5B9ull;
  return (x ^ x >> 29) | 1; // never 0, at which xorshift stays
}

static uint64_t xorshift(uint64_t x) {
  x ^= x << 13;
  x ^= x >> 7;
  return x ^ x << 17;
}

static void fill(uint64_t *words, uint64_t block, uint64_t generation) {
  if (generation == 0 && block % HOLE_PERIOD >= HOLE_START) {
    memset(words, 0, BLOCK_BYTES);
    return;
  }
  words[0] = block;
  words[1] = generation;
  uint64_t x = mix(block, generation);
  for (int i = 2; i < BLOCK_WORDS; i++) words[i] = x = xorshift(x);
}

static uint64_t *allocate(size_t bytes) {
  void *memory;
  if (posix_memalign(&memory, BLOCK_BYTES, bytes) != 0) {
    puts("{\"failed\":\"memory\"}");
    exit(2);
  }
  return memory;
}

static void keepWorst(atomic_ullong *worst, uint64_t us) {
  unsigned long long old = atomic_load(worst);
  while (us > old && !atomic_compare_exchange_weak(worst, &old, us)) {}
}

// One request, timed. Returns whether it was done.
static bool request(int thread, int kind, void *buffer, uint64_t block, uint64_t count) {
  static const char *const NAMES[] = {"read", "write", "flush"};
  ssize_t wanted = count * BLOCK_BYTES, done;
  uint64_t startUs = nowUs();
  underWay[thread].kind = kind;
  underWay[thread].sinceUs = startUs;
  if (kind == READ) done = pread(disk, buffer, wanted, block * BLOCK_BYTES);
  else if (kind == WRITE) done = pwrite(disk, buffer, wanted, block * BLOCK_BYTES);
  else done = fdatasync(disk);
  int reason = errno;
  underWay[thread].sinceUs = 0;
  uint64_t us = nowUs() - startUs;
  keepWorst(&intervalWorst[kind], us);
  keepWorst(&jobWorst[kind], us);
  ops[kind]++;
  if (done == wanted) return true;
  if (errors++ < MAX_TOLD)
    printf("{\"failed\":\"%s\",\"block\":%llu,\"reason\":\"%s\"}\n", NAMES[kind], (unsigned long long)block, done < 0 ? strerror(reason) : "it is short");
  return false;
}

// Checks a block that was read. What was not known of it is learned.
static void check(const uint64_t *words, uint64_t block) {
  uint64_t expected[BLOCK_WORDS];
  uint64_t generation = generations[block] == UNKNOWN ? words[1] : generations[block];
  fill(expected, block, generation);
  if (memcmp(expected, words, BLOCK_BYTES) == 0) {
    generations[block] = generation;
    digest += mix(block, generation);
    return;
  }
  if (bad++ < MAX_TOLD)
    printf("{\"bad\":%llu,\"wanted\":\"%llx\",\"foundBlock\":\"%llx\",\"foundGeneration\":\"%llx\"}\n", (unsigned long long)block,
           (unsigned long long)generation, (unsigned long long)words[0], (unsigned long long)words[1]);
}

static void readRange(int thread, uint64_t from, uint64_t count) {
  uint64_t *buffer = allocate(CHUNK_BLOCKS * BLOCK_BYTES);
  for (uint64_t block = from, end = from + count; block < end && !poweringOff; block += CHUNK_BLOCKS) {
    uint64_t n = end - block < CHUNK_BLOCKS ? end - block : CHUNK_BLOCKS;
    if (!request(thread, READ, buffer, block, n)) continue;
    for (uint64_t i = 0; i < n; i++) check(buffer + i * BLOCK_WORDS, block + i);
  }
  free(buffer);
}

static void writeRange(int thread, uint64_t from, uint64_t count, uint64_t generation) {
  uint64_t *buffer = allocate(CHUNK_BLOCKS * BLOCK_BYTES);
  for (uint64_t block = from, end = from + count; block < end && !poweringOff; block += CHUNK_BLOCKS) {
    uint64_t n = end - block < CHUNK_BLOCKS ? end - block : CHUNK_BLOCKS;
    for (uint64_t i = 0; i < n; i++) fill(buffer + i * BLOCK_WORDS, block + i, generation);
    bool isDone = request(thread, WRITE, buffer, block, n);
    for (uint64_t i = 0; i < n; i++) generations[block + i] = isDone ? generation : UNKNOWN;
  }
  request(thread, FLUSH, NULL, 0, 0);
  free(buffer);
}

static void sleepUntil(uint64_t us) {
  struct timespec time = {us / 1000000, us % 1000000 * 1000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

// Random requests on the blocks that are this thread's own.
static void run(int thread) {
  uint64_t *buffer = allocate(BLOCK_BYTES), writes = 0;
  uint64_t random = mix(thread, nowUs());
  uint64_t endUs = job.seconds == 0 ? UINT64_MAX : job.startUs + job.seconds * 1000000;
  uint64_t periodUs = job.opsPerSec == 0 ? 0 : job.threads * 1000000 / job.opsPerSec;
  uint64_t dueUs = job.startUs + periodUs * thread / job.threads;
  for (uint64_t now; !stopping && !poweringOff && (now = nowUs()) < endUs;) {
    if (periodUs > 0) {
      if (now < dueUs) sleepUntil(dueUs);
      else if (now > dueUs + BEHIND_US) dueUs = now;
      dueUs += periodUs;
    }
    random = xorshift(random);
    uint64_t block = (random >> 20) % (blockCount / job.threads) * job.threads + thread;
    bool isDone;
    if ((random >> 8 & 0xfff) * 100 / 0x1000 < job.writePercent) {
      uint64_t generation = nextGeneration++;
      fill(buffer, block, generation);
      isDone = request(thread, WRITE, buffer, block, 1);
      generations[block] = isDone ? generation : UNKNOWN;
      if (isDone && ++writes % WRITES_A_FLUSH == 0) isDone = request(thread, FLUSH, NULL, 0, 0);
    } else {
      isDone = request(thread, READ, buffer, block, 1);
      if (isDone) check(buffer, block);
    }
    if (!isDone) usleep(PAUSE_US);
  }
  request(thread, FLUSH, NULL, 0, 0);
  free(buffer);
}

static void *work(void *argument) {
  int thread = (int)(intptr_t)argument;
  if (job.kind == RUN) run(thread);
  else if (job.kind == WRITE_RANGE) writeRange(thread, job.from, job.count, job.generation);
  else {
    if (job.kind == CHECK_RANGE)
      for (uint64_t i = 0; i < job.count; i++) generations[job.from + i] = job.generation;
    readRange(thread, job.from, job.count);
  }
  if (--activeThreads == 0) eventfd_write(threadsEnded, 1);
  return NULL;
}

static struct totals totals(void) {
  return (struct totals){{ops[READ], ops[WRITE], ops[FLUSH]}, bad, errors};
}

static void printFigures(const struct totals *since, uint64_t us, const uint64_t *worst) {
  struct totals now = totals();
  printf("\"elapsedMs\":%llu,\"reads\":%llu,\"writes\":%llu,\"flushes\":%llu,\"worstReadUs\":%llu,\"worstWriteUs\":%llu,\"worstFlushUs\":%llu",
         (unsigned long long)(us / 1000), (unsigned long long)(now.ops[READ] - since->ops[READ]),
         (unsigned long long)(now.ops[WRITE] - since->ops[WRITE]), (unsigned long long)(now.ops[FLUSH] - since->ops[FLUSH]),
         (unsigned long long)worst[READ], (unsigned long long)worst[WRITE], (unsigned long long)worst[FLUSH]);
}

// Tells of the time since the last report. A request that is still under way counts for as long as it has taken.
static void report(void) {
  static struct totals last;
  static uint64_t lastUs;
  uint64_t now = nowUs(), worst[KINDS];
  for (int kind = 0; kind < KINDS; kind++) worst[kind] = atomic_exchange(&intervalWorst[kind], 0);
  for (int thread = 0; thread < MAX_THREADS; thread++) {
    uint64_t since = underWay[thread].sinceUs;
    int kind = underWay[thread].kind;
    if (since != 0 && now > since && now - since > worst[kind]) worst[kind] = now - since;
  }
  if (lastUs != 0) {
    printf("{\"report\":{");
    printFigures(&last, now - lastUs, worst);
    printf(",\"bad\":%llu,\"errors\":%llu}}\n", bad, errors);
  }
  last = totals();
  lastUs = now;
}

static void printResult(void) {
  uint64_t worst[KINDS] = {jobWorst[READ], jobWorst[WRITE], jobWorst[FLUSH]};
  printf("{\"done\":{\"command\":\"%s\",", job.text);
  printFigures(&job.before, nowUs() - job.startUs, worst);
  printf(",\"bad\":%llu,\"errors\":%llu,\"digest\":\"%016llx\"}}\n", bad - job.before.bad, errors - job.before.errors, digest);
}

static void startJob(void) {
  isJobUnderWay = true;
  job.startUs = nowUs();
  job.before = totals();
  stopping = false;
  digest = 0;
  for (int kind = 0; kind < KINDS; kind++) jobWorst[kind] = 0;
  activeThreads = job.threads;
  for (uint64_t i = 0; i < job.threads; i++) pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i);
}

static void refuse(const char *line, const char *reason) {
  // What came may be anything: only what needs no escape is repeated.
  char shown[LINE_BYTES];
  int length = 0;
  for (; line[length] != 0; length++) shown[length] = line[length] >= ' ' && line[length] <= '~' && line[length] != '"' && line[length] != '\\' ? line[length] : '?';
  shown[length] = 0;
  printf("{\"refused\":\"%s\",\"reason\":\"%s\"}\n", shown, reason);
}

static void endJob(void) {
  for (uint64_t i = 0; i < job.threads; i++) pthread_join(threads[i], NULL);
  isJobUnderWay = false;
  if (poweringOff && job.kind != RUN) refuse(job.text, "the guest powers off");
  else printResult();
}

// Makes a line the job to do. Returns why it cannot be, or NULL.
static const char *parse(const char *line) {
  char name[16] = "";
  unsigned long long n[4] = {0, 2, 15, 0};
  int count = sscanf(line, "%15s %llu %llu %llu %llu", name, &n[0], &n[1], &n[2], &n[3]) - 1;
  job = (struct job){.threads = 1, .count = blockCount};
  snprintf(job.text, sizeof job.text, "%s", line);
  if (strcmp(name, "verify") == 0) {
    job.kind = VERIFY;
    return count == 0 ? NULL : "usage: verify";
  }
  if (strcmp(name, "run") == 0) {
    job.kind = RUN;
    job.seconds = n[0], job.threads = n[1], job.writePercent = n[2], job.opsPerSec = n[3];
    if (count < 1 || n[1] < 1 || n[1] > MAX_THREADS || n[1] > blockCount || n[2] > 100 || n[0] > 1000000 || n[3] > 1000000)
      return "usage: run SECONDS [THREADS [WRITE_PERCENT [OPS_PER_SEC]]], at most 16 threads";
    return NULL;
  }
  if (strcmp(name, "write") == 0 || strcmp(name, "check") == 0) {
    job.kind = name[0] == 'w' ? WRITE_RANGE : CHECK_RANGE;
    job.from = n[0], job.count = n[1], job.generation = n[2];
    if (count != 3) return "usage: write|check FROM COUNT GENERATION";
    if (n[0] > blockCount || n[1] > blockCount - n[0]) return "the disk is smaller";
    return NULL;
  }
  return "there is no such command";
}

static void hello(void) {
  printf("{\"ready\":{\"sizeBytes\":%llu}}\n", (unsigned long long)(blockCount * BLOCK_BYTES));
}

static void powerOff(const char *reason) {
  poweringOff = true;
  printf("{\"poweroff\":\"%s\"}\n", reason);
}

static char queue[MAX_QUEUE][LINE_BYTES];
static int queueLength;

static void take(const char *line) {
  if (line[0] == 0) return;
  if (strcmp(line, "hello") == 0) hello();
  else if (strcmp(line, "stop") == 0) stopping = true;
  else if (strcmp(line, "poweroff") == 0) powerOff("command");
  else if (queueLength == MAX_QUEUE) refuse(line, "too many commands wait");
  else strcpy(queue[queueLength++], line);
}

static void takeNext(void) {
  while (!isJobUnderWay && queueLength > 0 && !poweringOff) {
    char line[LINE_BYTES];
    strcpy(line, queue[0]);
    memmove(queue[0], queue[1], --queueLength * sizeof queue[0]);
    const char *reason = parse(line);
    if (reason != NULL) refuse(line, reason);
    else startJob();
  }
}

// Reads what has come of standard input. Returns whether more may come.
static bool takeInput(void) {
  static char line[LINE_BYTES];
  static int length;
  char bytes[256];
  ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
  for (ssize_t i = 0; i < count; i++) {
    if (bytes[i] == '\n' || bytes[i] == '\r') {
      line[length] = 0;
      length = 0;
      take(line);
    } else if (length < LINE_BYTES - 1) line[length++] = bytes[i];
  }
  return count > 0;
}

static void takePowerButton(int button) {
  struct input_event event;
  if (read(button, &event, sizeof event) != sizeof event) return;
  if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1 && !poweringOff) powerOff("button");
}

static void openDisk(const char *path, int flags) {
  disk = open(path, flags);
  if (disk < 0) {
    printf("{\"failed\":\"open\",\"reason\":\"%s\"}\n", strerror(errno));
    exit(2);
  }
  blockCount = lseek(disk, 0, SEEK_END) / BLOCK_BYTES;
  generations = allocate(blockCount * sizeof *generations);
  for (uint64_t block = 0; block < blockCount; block++) generations[block] = UNKNOWN;
}

static int serve(const char *device, char **commands) {
  struct termios raw;
  if (tcgetattr(STDIN_FILENO, &raw) == 0) {
    cfmakeraw(&raw);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  openDisk(device, O_RDWR | O_DIRECT);
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  // Later than those of earlier runs, and above those of `write`, which are below 2^32.
  nextGeneration = time.tv_sec * 1000000ull + time.tv_nsec / 1000;
  threadsEnded = eventfd(0, EFD_NONBLOCK);
  struct pollfd inputs[2 + POWER_BUTTONS] = {{STDIN_FILENO, POLLIN, 0}, {threadsEnded, POLLIN, 0}};
  for (int i = 0; i < POWER_BUTTONS; i++) {
    char path[32];
    snprintf(path, sizeof path, "/dev/input/event%d", i);
    inputs[2 + i] = (struct pollfd){open(path, O_RDONLY | O_NONBLOCK), POLLIN, 0};
  }
  hello();
  report();
  for (; *commands != NULL; commands++) {
    for (char *comma; (comma = strchr(*commands, ',')) != NULL;) *comma = ' ';
    if (strlen(*commands) < LINE_BYTES) take(*commands);
  }
  uint64_t nextReportUs = nowUs() + 1000000;
  while (!poweringOff || isJobUnderWay) {
    takeNext();
    uint64_t now = nowUs();
    if (now < nextReportUs) {
      if (poll(inputs, 2 + POWER_BUTTONS, (nextReportUs - now + 999) / 1000) <= 0) continue;
      if (inputs[0].revents != 0 && !takeInput()) inputs[0].fd = -1;
      eventfd_t ended;
      if (inputs[1].revents != 0 && eventfd_read(threadsEnded, &ended) == 0) endJob();
      for (int i = 2; i < 2 + POWER_BUTTONS; i++)
        if (inputs[i].revents != 0) takePowerButton(inputs[i].fd);
      continue;
    }
    report();
    nextReportUs += 1000000;
    if (nextReportUs < now) nextReportUs = now + 1000000;
  }
  return fdatasync(disk) == 0 ? 0 : 1;
}

static int makeImage(const char *path, uint64_t count, uint64_t generation) {
  uint64_t block[BLOCK_WORDS];
  int image = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (image < 0 || ftruncate(image, count * BLOCK_BYTES) != 0) return perror(path), 1;
  for (uint64_t i = 0; i < count; i++) {
    if (generation == 0 && i % HOLE_PERIOD >= HOLE_START) continue;
    fill(block, i, generation);
    if (pwrite(image, block, BLOCK_BYTES, i * BLOCK_BYTES) != BLOCK_BYTES) return perror(path), 1;
  }
  return 0;
}

static int checkImage(const char *path) {
  openDisk(path, O_RDONLY);
  parse("verify");
  job.startUs = nowUs();
  readRange(0, 0, blockCount);
  printResult();
  return 0;
}

int main(int count, char **arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char *verb = count > 2 ? arguments[1] : "";
  if (strcmp(verb, "guest") == 0) return serve(arguments[2], arguments + 3);
  if (strcmp(verb, "make") == 0 && count == 5) return makeImage(arguments[2], strtoull(arguments[3], NULL, 10), strtoull(arguments[4], NULL, 10));
  if (strcmp(verb, "check") == 0 && count == 3) return checkImage(arguments[2]);
  fputs("usage: verifier guest DEVICE [COMMAND]... | make PATH BLOCKS GENERATION | check PATH\n", stderr);
  return 2;
}
