/* Logs what a process does to the files below one directory; loaded by LD_PRELOAD (disk_log.py).

   record: op u8 | length of a u32 | length of b u32 | inode u64 | number u64 | a | b

   C create    a path                      W write  inode, number: offset, a: data
   D directory a path, of inode            T cut    inode, number: length
   R rename    a old path, b new path      S sync   inode
   U unlink    a path                      A told   a: what it wrote to standard output

   Each operation is done and logged under one lock, so the log has their order. What is not
   logged here (mappings, writev, copies inside the kernel) none of our stores does to a file. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 65536

static char root[4096];
static size_t root_length;
static int log_file = -1;
static char watched[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("SHOAL_DISK_LOG"), *of = getenv("SHOAL_DISK_HOME");
    if (!where || !of || strlen(of) >= sizeof root) return;
    strcpy(root, of);
    root_length = strlen(root);
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    log_file = (int)syscall(SYS_openat, AT_FDCWD, where, flags, 0600);
}

static int inside(const char *path) {
    return log_file >= 0 && !strncmp(path, root, root_length) &&
           (path[root_length] == '/' || !path[root_length]);
}

static void note(char op, uint64_t inode, uint64_t number, const void *a, size_t a_length,
                 const char *b) {
    unsigned char head[25];
    uint32_t first = (uint32_t)a_length, second = b ? (uint32_t)strlen(b) : 0;
    head[0] = (unsigned char)op;
    memcpy(head + 1, &first, 4);
    memcpy(head + 5, &second, 4);
    memcpy(head + 9, &inode, 8);
    memcpy(head + 17, &number, 8);
    struct iovec parts[3] = {{head, sizeof head}, {(void *)a, a_length}, {(void *)b, second}};
    int kept = errno;
    if (syscall(SYS_writev, log_file, parts, 3) != (long)(sizeof head + a_length + second)) abort();
    errno = kept;
}

static uint64_t inode_of(int file) {
    struct stat found;
    return fstat(file, &found) ? 0 : (uint64_t)found.st_ino;
}

static int is_watched(int file) { return file >= 0 && file < FILES && watched[file]; }

static int opened(int at, const char *path, int flags, mode_t mode) {
    if (!inside(path)) return (int)syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat before;
    int there = !stat(path, &before);
    int file = (int)syscall(SYS_openat, at, path, flags, mode);
    if (file >= 0 && file < FILES) {
        int kept = errno;
        struct stat found;
        fstat(file, &found);
        watched[file] = 1;
        if (S_ISDIR(found.st_mode)) note('D', found.st_ino, 0, path, strlen(path), 0);
        else if (!there) note('C', found.st_ino, 0, path, strlen(path), 0);
        else if (flags & O_TRUNC) note('T', found.st_ino, 0, "", 0, 0);
        errno = kept;
    }
    pthread_mutex_unlock(&lock);
    return file;
}

#define OPEN(NAME)                                         \
    int NAME(const char *path, int flags, ...) {           \
        va_list more;                                      \
        va_start(more, flags);                             \
        mode_t mode = (mode_t)va_arg(more, int);           \
        va_end(more);                                      \
        return opened(AT_FDCWD, path, flags, mode);        \
    }
#define OPENAT(NAME)                                       \
    int NAME(int at, const char *path, int flags, ...) {   \
        va_list more;                                      \
        va_start(more, flags);                             \
        mode_t mode = (mode_t)va_arg(more, int);           \
        va_end(more);                                      \
        return opened(at, path, flags, mode);              \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }

int close(int file) {
    if (is_watched(file)) watched[file] = 0;
    return (int)syscall(SYS_close, file);
}

ssize_t write(int file, const void *data, size_t length) {
    int told = file == 1 && log_file >= 0;
    if (!told && !is_watched(file)) return syscall(SYS_write, file, data, length);
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_write, file, data, length);
    if (done > 0 && told) note('A', 0, 0, data, (size_t)done, 0);
    else if (done > 0) {
        off_t after = lseek(file, 0, SEEK_CUR);
        note('W', inode_of(file), (uint64_t)(after - done), data, (size_t)done, 0);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

static ssize_t written(int file, const void *data, size_t length, off_t offset) {
    if (!is_watched(file)) return syscall(SYS_pwrite64, file, data, length, offset);
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_pwrite64, file, data, length, offset);
    if (done > 0) note('W', inode_of(file), (uint64_t)offset, data, (size_t)done, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
ssize_t pwrite(int file, const void *data, size_t length, off_t offset) {
    return written(file, data, length, offset);
}
ssize_t pwrite64(int file, const void *data, size_t length, off_t offset) {
    return written(file, data, length, offset);
}

static int cut(int file, off_t length) {
    if (!is_watched(file)) return (int)syscall(SYS_ftruncate, file, length);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_ftruncate, file, length);
    if (!result) note('T', inode_of(file), (uint64_t)length, "", 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate(int file, off_t length) { return cut(file, length); }
int ftruncate64(int file, off_t length) { return cut(file, length); }

static int synced(long call, int file) {
    if (!is_watched(file)) return (int)syscall(call, file);
    /* The disk of whoever checks need not be written for it: the log says what was asked. */
    pthread_mutex_lock(&lock);
    note('S', inode_of(file), 0, "", 0, 0);
    pthread_mutex_unlock(&lock);
    return 0;
}
int fsync(int file) { return synced(SYS_fsync, file); }
int fdatasync(int file) { return synced(SYS_fdatasync, file); }

int rename(const char *before, const char *after) {
    if (!inside(before)) return (int)syscall(SYS_renameat, AT_FDCWD, before, AT_FDCWD, after);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_renameat, AT_FDCWD, before, AT_FDCWD, after);
    if (!result) note('R', 0, 0, before, strlen(before), after);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) {
    if (!inside(path)) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (!result) note('U', 0, 0, path, strlen(path), 0);
    pthread_mutex_unlock(&lock);
    return result;
}
