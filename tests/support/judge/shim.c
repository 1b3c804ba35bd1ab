/*
 * See, record, fail and kill at the file and socket calls of one process, and move its
 * wall clock.
 *
 * Preloaded before libc. It is idle until judge_setup() names a root: from then on each
 * call below that root, and each byte on an internet socket, is one event, SQLite's
 * calls included. An event has an operation and a path ("POST" and "GET" for sockets,
 * by what was last sent there). A rule kills the process before or after the n-th
 * matching event, or lets it fail with an errno. File events are one at a time, so that
 * the order in the log is the order in which they took effect.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 4096
#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static int recording;
static char *paths[FDS];
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static struct {
    int after;
    char ops[256];
    char glob[PATH_MAX];
    long nth;
    long times;
    int error; /* 0: kill */
} rule;
static int has_rule;
static long matched;

/* Begin: root is an absolute folder; ops is ",write,sync," or "" for every one. */
void judge_setup(const char *folder, const char *log, int record) {
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    recording = record;
    int fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 900);
    REAL(close)(fd);
}

void judge_rule(int after, const char *ops, const char *glob, long nth, long times,
                int error) {
    rule.after = after;
    snprintf(rule.ops, sizeof rule.ops, "%s", ops);
    snprintf(rule.glob, sizeof rule.glob, "%s", glob);
    rule.nth = nth;
    rule.times = times;
    rule.error = error;
    matched = 0;
    has_rule = 1;
}

struct record {
    uint32_t magic;
    int32_t fd;
    int64_t offset;
    int64_t result;
    uint32_t path, other, data;
    char op[12];
};

static void note(const char *op, int fd, const char *path, const char *other,
                 int64_t offset, int64_t result, const struct iovec *parts, int count) {
    if (log_fd < 0)
        return;
    int saved = errno;
    struct record head = {.magic = 0x4a554447, .fd = fd, .offset = offset};
    size_t data = 0;
    head.result = result;
    head.path = (uint32_t)strlen(path);
    head.other = other ? (uint32_t)strlen(other) : 0;
    if (recording && parts && result > 0)
        data = (size_t)result;
    head.data = (uint32_t)data;
    snprintf(head.op, sizeof head.op, "%s", op);
    char *whole = malloc(sizeof head + head.path + head.other + data);
    char *at = mempcpy(whole, &head, sizeof head);
    at = mempcpy(at, path, head.path);
    at = mempcpy(at, other ? other : "", head.other);
    for (int i = 0; i < count && data; i++) {
        size_t part = parts[i].iov_len < data ? parts[i].iov_len : data;
        at = mempcpy(at, parts[i].iov_base, part);
        data -= part;
    }
    syscall(SYS_write, log_fd, whole, (size_t)(at - whole));
    free(whole);
    errno = saved;
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

static int matches(const char *op, const char *path) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, ",%s,", op);
    if ((rule.ops[0] && !strstr(rule.ops, wanted)) || fnmatch(rule.glob, path, 0))
        return 0;
    matched++;
    return matched >= rule.nth && (rule.times < 0 || matched < rule.nth + rule.times);
}

/* Before an event: 0 to go on, or the errno to fail with. */
static int before(const char *op, const char *path) {
    if (!has_rule || rule.after || !matches(op, path))
        return 0;
    note(rule.error ? "failed" : "killed", rule.error, path, op, 0, -1, NULL, 0);
    if (!rule.error)
        die();
    return rule.error;
}

/* After one that took effect. */
static void after(const char *op, const char *path) {
    if (has_rule && rule.after && matches(op, path)) {
        note("killed", 0, path, op, 0, -1, NULL, 0);
        die();
    }
}

static int below(const char *path) {
    return root_length && !strncmp(path, root, root_length) &&
           (path[root_length] == '/' || !path[root_length]);
}

/* Make a path absolute; NULL where it is not below the root. */
static const char *absolute(int dirfd, const char *path, char *buffer) {
    if (!root_length || !path)
        return NULL;
    if (path[0] == '/') {
        snprintf(buffer, PATH_MAX, "%s", path);
    } else if (dirfd == AT_FDCWD) {
        char cwd[PATH_MAX];
        if (!getcwd(cwd, sizeof cwd))
            return NULL;
        if ((size_t)snprintf(buffer, PATH_MAX, "%s/%s", cwd, path) >= PATH_MAX)
            return NULL;
    } else if (dirfd >= 0 && dirfd < FDS && paths[dirfd]) {
        if ((size_t)snprintf(buffer, PATH_MAX, "%s/%s", paths[dirfd], path) >= PATH_MAX)
            return NULL;
    } else {
        return NULL;
    }
    size_t length = strlen(buffer);
    while (length > 1 && buffer[length - 1] == '/')
        buffer[--length] = 0;
    while (length > 2 && !strcmp(buffer + length - 2, "/."))
        buffer[length -= 2] = 0;
    return below(buffer) ? buffer : NULL;
}

static const char *path_of(int fd) {
    return fd >= 0 && fd < FDS ? paths[fd] : NULL;
}

static int is_socket(const char *path) {
    return path && path[0] != '/';
}

static void name(int fd, const char *path) {
    if (fd < 0 || fd >= FDS)
        return;
    free(paths[fd]);
    paths[fd] = path ? strdup(path) : NULL;
}

#define ENTER pthread_mutex_lock(&lock)
#define LEAVE pthread_mutex_unlock(&lock)
#define FAIL(op, path)                                                                 \
    do {                                                                               \
        int error = before(op, path);                                                  \
        if (error) {                                                                   \
            LEAVE;                                                                     \
            errno = error;                                                             \
            return -1;                                                                 \
        }                                                                              \
    } while (0)

/* ---- files ---- */

static int open_at(int dirfd, const char *path, int flags, mode_t mode) {
    int (*next)(int, const char *, int, ...) = REAL(openat);
    char buffer[PATH_MAX];
    const char *full = absolute(dirfd, path, buffer);
    if (!full)
        return next(dirfd, path, flags, mode);
    ENTER;
    FAIL("open", full);
    struct stat st;
    int existed = !lstat(full, &st);
    int fd = next(dirfd, path, flags, mode);
    int saved = errno;
    if (fd >= 0) {
        name(fd, full);
        note(existed ? "open" : "create", fd, full, NULL, 0, 0, NULL, 0);
        if (existed && flags & O_TRUNC)
            note("truncate", fd, full, NULL, 0, 0, NULL, 0);
        after("open", full);
    }
    LEAVE;
    errno = saved;
    return fd;
}

#define OPEN(symbol)                                                                   \
    int symbol(const char *path, int flags, ...) {                                     \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;        \
        va_end(rest);                                                                  \
        return open_at(AT_FDCWD, path, flags, mode);                                   \
    }
#define OPENAT(symbol)                                                                 \
    int symbol(int dirfd, const char *path, int flags, ...) {                          \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;        \
        va_end(rest);                                                                  \
        return open_at(dirfd, path, flags, mode);                                      \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int __open_2(const char *path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    if (path_of(fd)) {
        ENTER;
        name(fd, NULL);
        LEAVE;
    }
    return REAL(close)(fd);
}

static void sent(int fd, const struct iovec *parts);

static ssize_t written(int fd, const struct iovec *parts, int count, off_t offset) {
    ssize_t (*at)(int, const struct iovec *, int, off_t) = REAL(pwritev);
    ssize_t (*next)(int, const struct iovec *, int) = REAL(writev);
    const char *path = path_of(fd);
    if (!path)
        return offset < 0 ? next(fd, parts, count) : at(fd, parts, count, offset);
    if (is_socket(path)) {
        sent(fd, parts);
        path = path_of(fd);
    }
    const char *op = is_socket(path) ? "send" : "write";
    ENTER;
    FAIL(op, path);
    ssize_t done = offset < 0 ? next(fd, parts, count) : at(fd, parts, count, offset);
    int saved = errno;
    if (done >= 0) {
        if (offset < 0 && !is_socket(path))
            offset = lseek(fd, 0, SEEK_CUR) - done;
        note(op, fd, path, NULL, offset, done, parts, count);
        after(op, path);
    }
    LEAVE;
    errno = saved;
    return done;
}

ssize_t write(int fd, const void *data, size_t size) {
    if (!path_of(fd))
        return REAL(write)(fd, data, size);
    struct iovec part = {(void *)data, size};
    return written(fd, &part, 1, -1);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    struct iovec part = {(void *)data, size};
    return written(fd, &part, 1, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    struct iovec part = {(void *)data, size};
    return written(fd, &part, 1, offset);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return written(fd, parts, count, -1);
}
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    (void)flags;
    return written(fd, parts, count, offset);
}
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset,
                    int flags) {
    return pwritev2(fd, parts, count, offset, flags);
}

static unsigned slow; /* microseconds that a sync takes longer */

void judge_slow(unsigned microseconds) { slow = microseconds; }

#define SYNC(symbol)                                                                   \
    int symbol(int fd) {                                                               \
        int (*next)(int) = REAL(symbol);                                               \
        const char *path = path_of(fd);                                                \
        if (!path)                                                                     \
            return next(fd);                                                           \
        usleep(slow);                                                                  \
        ENTER;                                                                         \
        FAIL("sync", path);                                                            \
        int done = next(fd);                                                           \
        int saved = errno;                                                             \
        if (!done) {                                                                   \
            note("sync", fd, path, NULL, 0, 0, NULL, 0);                               \
            after("sync", path);                                                       \
        }                                                                              \
        LEAVE;                                                                         \
        errno = saved;                                                                 \
        return done;                                                                   \
    }
SYNC(fsync)
SYNC(fdatasync)

#define CUT(symbol, type)                                                              \
    int symbol(int fd, type length) {                                                  \
        int (*next)(int, type) = REAL(symbol);                                         \
        const char *path = path_of(fd);                                                \
        if (!path)                                                                     \
            return next(fd, length);                                                   \
        ENTER;                                                                         \
        FAIL("truncate", path);                                                        \
        int done = next(fd, length);                                                   \
        int saved = errno;                                                             \
        if (!done) {                                                                   \
            note("truncate", fd, path, NULL, length, 0, NULL, 0);                      \
            after("truncate", path);                                                   \
        }                                                                              \
        LEAVE;                                                                         \
        errno = saved;                                                                 \
        return done;                                                                   \
    }
CUT(ftruncate, off_t)
CUT(ftruncate64, off64_t)

/* It returns its error, and makes a file longer; that it takes room is not seen. */
int posix_fallocate64(int fd, off64_t offset, off64_t size) {
    const char *path = path_of(fd);
    if (!path)
        return REAL(posix_fallocate64)(fd, offset, size);
    ENTER;
    int error = before("allocate", path);
    struct stat st;
    if (!error && !fstat(fd, &st)) {
        error = REAL(posix_fallocate64)(fd, offset, size);
        if (!error) {
            if (st.st_size < offset + size)
                note("allocate", fd, path, NULL, offset + size, 0, NULL, 0);
            after("allocate", path);
        }
    }
    LEAVE;
    return error;
}
int posix_fallocate(int fd, off_t offset, off_t size) {
    return posix_fallocate64(fd, offset, size);
}

/* One name is made, moved or removed. */
static int named(const char *op, const char *path, const char *other, int done) {
    int saved = errno;
    if (!done) {
        note(op, -1, path, other, 0, 0, NULL, 0);
        after(op, path);
    }
    LEAVE;
    errno = saved;
    return done;
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to,
              unsigned int flags) {
    char first[PATH_MAX], second[PATH_MAX];
    const char *source = absolute(from_fd, from, first);
    const char *target = absolute(to_fd, to, second);
    if (!source && !target)
        return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    source = source ? source : from;
    target = target ? target : to;
    ENTER;
    FAIL("rename", target);
    int done = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    return named("rename", target, source, done);
}
int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    return renameat2(from_fd, from, to_fd, to, 0);
}
int rename(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dirfd, const char *path, int flags) {
    char buffer[PATH_MAX];
    const char *full = absolute(dirfd, path, buffer);
    if (!full)
        return REAL(unlinkat)(dirfd, path, flags);
    ENTER;
    FAIL("unlink", full);
    return named("unlink", full, NULL, REAL(unlinkat)(dirfd, path, flags));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dirfd, const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    const char *full = absolute(dirfd, path, buffer);
    if (!full)
        return REAL(mkdirat)(dirfd, path, mode);
    ENTER;
    FAIL("mkdir", full);
    return named("mkdir", full, NULL, REAL(mkdirat)(dirfd, path, mode));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    char first[PATH_MAX], second[PATH_MAX];
    const char *source = absolute(from_fd, from, first);
    const char *target = absolute(to_fd, to, second);
    if (!source || !target)
        return REAL(linkat)(from_fd, from, to_fd, to, flags);
    ENTER;
    FAIL("link", target);
    return named("link", target, source,
                 REAL(linkat)(from_fd, from, to_fd, to, flags));
}
int link(const char *from, const char *to) {
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- calls that would change a file behind the log's back are said aloud ---- */

static void unseen(const char *what, int fd) {
    const char *path = path_of(fd);
    if (path && !is_socket(path))
        note("unseen", fd, path, what, 0, 0, NULL, 0);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) {
    const char *path = path_of(fd);
    /* The index of the journal is shared memory: it is built anew after a crash. */
    if (path && (protection & PROT_WRITE) && (flags & MAP_SHARED) &&
        fnmatch("*-shm", path, 0))
        unseen("mmap", fd);
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size,
                        unsigned int flags) {
    unseen("copy_file_range", to);
    return REAL(copy_file_range)(from, a, to, b, size, flags);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    unseen("sendfile", to);
    return REAL(sendfile64)(to, from, offset, size);
}

/* ---- the clock on the wall, which may jump; the monotonic one never does ---- */

#define JUMPS 16
static struct {
    double at; /* seconds after the first was set */
    long offset;
} jumps[JUMPS];
static int jump_count;
static struct timespec begun;
static long long added; /* nanoseconds */

/* Let the clock be wrong by so much from now on, beside its jumps. */
void judge_clock(long long nanoseconds) { added = nanoseconds; }

static int read_clock(clockid_t which, struct timespec *now) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next)
        next = REAL(clock_gettime);
    return next(which, now);
}

/* From `at` seconds from now on, the clock is wrong by `offset` seconds. */
void judge_jump(double at, long offset) {
    if (!jump_count)
        read_clock(CLOCK_MONOTONIC, &begun);
    if (jump_count < JUMPS) {
        jumps[jump_count].at = at;
        jumps[jump_count++].offset = offset;
    }
}

static long wrong_by(void) {
    if (!jump_count)
        return 0;
    struct timespec now;
    read_clock(CLOCK_MONOTONIC, &now);
    double since = (double)(now.tv_sec - begun.tv_sec) +
                   (double)(now.tv_nsec - begun.tv_nsec) / 1e9;
    long offset = 0;
    for (int i = 0; i < jump_count && jumps[i].at <= since; i++)
        offset = jumps[i].offset;
    return offset;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int done = read_clock(which, now);
    if (!done && which == CLOCK_REALTIME) {
        long long at = now->tv_sec * 1000000000LL + now->tv_nsec + added;
        now->tv_sec = at / 1000000000LL + wrong_by();
        now->tv_nsec = at % 1000000000LL;
    }
    return done;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    struct timespec read;
    int done = clock_gettime(CLOCK_REALTIME, &read);
    now->tv_sec = read.tv_sec;
    now->tv_usec = read.tv_nsec / 1000;
    return done;
}

/* ---- sockets ---- */

int connect(int fd, const struct sockaddr *address, socklen_t size) {
    int inet = address->sa_family == AF_INET || address->sa_family == AF_INET6;
    if (!root_length || !inet)
        return REAL(connect)(fd, address, size);
    ENTER;
    FAIL("connect", "socket");
    int done = REAL(connect)(fd, address, size);
    int saved = errno;
    name(fd, "socket");
    note("connect", fd, "socket", NULL, 0, done, NULL, 0);
    after("connect", "socket");
    LEAVE;
    errno = saved;
    return done;
}

static void sent(int fd, const struct iovec *parts) {
    const char *data = parts[0].iov_base;
    ENTER;
    if (parts[0].iov_len > 5 && !memcmp(data, "POST ", 5))
        name(fd, "POST");
    else if (parts[0].iov_len > 4 && !memcmp(data, "GET ", 4))
        name(fd, "GET");
    LEAVE;
}

/* A send is noted before it goes: what it tells the world must be true by then. */
static ssize_t sending(int fd, const struct msghdr *message, int flags) {
    const char *path = path_of(fd);
    if (!is_socket(path))
        return REAL(sendmsg)(fd, message, flags);
    sent(fd, message->msg_iov);
    path = path_of(fd);
    ENTER;
    FAIL("send", path);
    ssize_t size = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        size += (ssize_t)message->msg_iov[i].iov_len;
    note("send", fd, path, NULL, 0, size, message->msg_iov, (int)message->msg_iovlen);
    ssize_t done = REAL(sendmsg)(fd, message, flags);
    int saved = errno;
    after("send", path);
    LEAVE;
    errno = saved;
    return done;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    return sending(fd, message, flags);
}
ssize_t sendto(int fd, const void *data, size_t size, int flags,
               const struct sockaddr *to, socklen_t length) {
    if (!is_socket(path_of(fd)))
        return REAL(sendto)(fd, data, size, flags, to, length);
    struct iovec part = {(void *)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return sending(fd, &message, flags);
}
ssize_t send(int fd, const void *data, size_t size, int flags) {
    return sendto(fd, data, size, flags, NULL, 0);
}

/* Only a read that brings something is an event, so it is looked at first. */
ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from,
                 socklen_t *length) {
    ssize_t (*next)(int, void *, size_t, int, struct sockaddr *, socklen_t *) =
        REAL(recvfrom);
    const char *path = path_of(fd);
    char one;
    if (!is_socket(path) || (flags & MSG_PEEK) ||
        next(fd, &one, 1, MSG_PEEK | MSG_DONTWAIT, NULL, NULL) <= 0)
        return next(fd, data, size, flags, from, length);
    ENTER;
    FAIL("recv", path);
    ssize_t done = next(fd, data, size, flags, from, length);
    int saved = errno;
    note("recv", fd, path, NULL, 0, done, NULL, 0);
    after("recv", path);
    LEAVE;
    errno = saved;
    return done;
}
ssize_t recv(int fd, void *data, size_t size, int flags) {
    return recvfrom(fd, data, size, flags, NULL, NULL);
}
ssize_t __recv_chk(int fd, void *data, size_t size, size_t room, int flags) {
    (void)room;
    return recvfrom(fd, data, size, flags, NULL, NULL);
}
