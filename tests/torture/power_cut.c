/* Recorder under a database's files, for LD_PRELOAD: each change and each sync of them goes into a log, in their order.
 *
 * POWER_CUT_FILE is the database; its -wal and -journal are followed too, and its folder's entries. POWER_CUT_LOG is
 * the log. disk.py reads it, and says what a power cut would have left of the files. A sync takes
 * POWER_CUT_SYNC_MICROSECONDS longer than it does, as on a slow disk: a kill then often finds something unsynced.
 *
 * While POWER_CUT_READ_ONLY exists, no change and no sync goes through (EROFS): so does a file system that the kernel
 * has made read-only after an error, under files that are open.
 *
 * A change is logged before it is made, a sync after it has succeeded: a process that is killed in between has made at
 * most what the log says, and synced at least that. One lock holds both together, so that at most one change is open.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPENED = 1, CREATED, WRITTEN, TRUNCATED, SYNCED, UNLINKED, FOLDER_SYNCED };
struct record { uint64_t kind, file, offset, length; };

#define MOST_DESCRIPTORS 4096
#define FOLDER UINT64_MAX

static uint64_t followed[MOST_DESCRIPTORS]; /* the inode behind a descriptor, FOLDER, or 0 */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char database[4096], folder[4096];
static int log_descriptor = -1;
static useconds_t sync_takes;
static const char *read_only;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("POWER_CUT_FILE"), *log = getenv("POWER_CUT_LOG");
    if (file == NULL || log == NULL) return;
    strncpy(database, file, sizeof database - 1);
    char copy[sizeof database];
    strcpy(copy, database);
    strncpy(folder, dirname(copy), sizeof folder - 1);
    log_descriptor = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const char *microseconds = getenv("POWER_CUT_SYNC_MICROSECONDS");
    sync_takes = microseconds == NULL ? 0 : (useconds_t)atoi(microseconds);
    read_only = getenv("POWER_CUT_READ_ONLY");
    if (log_descriptor < 0) abort();
}

static int is_read_only(void) {
    if (read_only == NULL || access(read_only, F_OK) != 0) return 0;
    errno = EROFS;
    return 1;
}

static int is_followed(const char *path) {
    size_t length = strlen(database);
    if (log_descriptor < 0 || strncmp(path, database, length) != 0) return 0;
    const char *rest = path + length;
    return !*rest || !strcmp(rest, "-wal") || !strcmp(rest, "-journal");
}

static uint64_t file_of(int descriptor) {
    return descriptor >= 0 && descriptor < MOST_DESCRIPTORS ? followed[descriptor] : 0;
}

static void note(enum kind kind, uint64_t file, uint64_t offset, const void *data, size_t length) {
    struct record record = {kind, file, offset, length};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)data, length}};
    if (writev(log_descriptor, parts, 2) != (ssize_t)(sizeof record + length)) abort();
}

static uint64_t inode_at(const char *path) {
    struct stat seen;
    return lstat(path, &seen) == 0 ? seen.st_ino : 0;
}

static int opened(int descriptor, const char *path, int flags, int was_there) {
    struct stat seen;
    if (descriptor < 0 || descriptor >= MOST_DESCRIPTORS || fstat(descriptor, &seen) != 0) return descriptor;
    if (!strcmp(path, folder)) followed[descriptor] = FOLDER;
    if (!is_followed(path)) return descriptor;
    followed[descriptor] = seen.st_ino;
    note(was_there ? OPENED : CREATED, seen.st_ino, 0, path, strlen(path));
    if (was_there && flags & O_TRUNC) note(TRUNCATED, seen.st_ino, 0, NULL, 0);
    return descriptor;
}

#define OPEN(name)                                                                    \
    int name(const char *path, int flags, ...) {                                      \
        va_list more;                                                                 \
        va_start(more, flags);                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;       \
        va_end(more);                                                                 \
        pthread_mutex_lock(&turn);                                                    \
        int was_there = access(path, F_OK) == 0;                                      \
        int descriptor = opened(REAL(name)(path, flags, mode), path, flags, was_there); \
        pthread_mutex_unlock(&turn);                                                  \
        return descriptor;                                                            \
    }
OPEN(open)
OPEN(open64)

int close(int descriptor) {
    pthread_mutex_lock(&turn);
    if (file_of(descriptor)) followed[descriptor] = 0;
    int result = REAL(close)(descriptor);
    pthread_mutex_unlock(&turn);
    return result;
}

/* Makes `call` a change that is logged first when its descriptor is followed. */
#define CHANGE(result_type, kind, offset, data, length, call)                            \
    uint64_t file = file_of(descriptor);                                                 \
    if (!file || file == FOLDER) return call;                                            \
    if (is_read_only()) return -1;                                                       \
    pthread_mutex_lock(&turn);                                                           \
    note(kind, file, offset, data, length);                                              \
    result_type result = call;                                                           \
    pthread_mutex_unlock(&turn);                                                         \
    return result;

ssize_t write(int descriptor, const void *data, size_t length) {
    CHANGE(ssize_t, WRITTEN, lseek(descriptor, 0, SEEK_CUR), data, length, REAL(write)(descriptor, data, length))
}
ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset) {
    CHANGE(ssize_t, WRITTEN, offset, data, length, REAL(pwrite)(descriptor, data, length, offset))
}
ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t offset) {
    CHANGE(ssize_t, WRITTEN, offset, data, length, REAL(pwrite64)(descriptor, data, length, offset))
}
int ftruncate(int descriptor, off_t length) {
    CHANGE(int, TRUNCATED, length, NULL, 0, REAL(ftruncate)(descriptor, length))
}
int ftruncate64(int descriptor, off64_t length) {
    CHANGE(int, TRUNCATED, length, NULL, 0, REAL(ftruncate64)(descriptor, length))
}

#define SYNC(name)                                                                          \
    int name(int descriptor) {                                                              \
        uint64_t file = file_of(descriptor);                                                \
        if (!file) return REAL(name)(descriptor);                                           \
        if (is_read_only()) return -1;                                                      \
        pthread_mutex_lock(&turn);                                                          \
        usleep(sync_takes);                                                                 \
        int result = REAL(name)(descriptor);                                                \
        if (result == 0) note(file == FOLDER ? FOLDER_SYNCED : SYNCED, file, 0, NULL, 0);   \
        pthread_mutex_unlock(&turn);                                                        \
        return result;                                                                      \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    if (!is_followed(path)) return REAL(unlink)(path);
    pthread_mutex_lock(&turn);
    note(UNLINKED, inode_at(path), 0, path, strlen(path));
    int result = REAL(unlink)(path);
    pthread_mutex_unlock(&turn);
    return result;
}

int rename(const char *from, const char *to) {
    if (!is_followed(from) && !is_followed(to)) return REAL(rename)(from, to);
    abort(); /* nobody renames the files of a database that is open; a tool that does needs a record of its own */
}
