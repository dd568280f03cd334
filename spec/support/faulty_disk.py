"""A file system that passes everything on to a folder, and fails as a broken device does: faulty_disk.py FOLDER PLACE CONTROL

The file CONTROL has a line for each fault that is on: "write EIO audit.sqlite3" lets each write to files with that in their name fail.
The operations are read, write, sync and open.
"""

import errno
import os
import sys

import mfusepy as fuse


class FaultyDisk(fuse.Operations):
    use_ns = True

    def __init__(self, folder, control):
        self.folder = folder
        self.control = control
        self.names = {}

    def path(self, path):
        return self.folder + path

    def check(self, operation, path):
        with open(self.control, encoding="utf-8") as control:
            for line in control:
                fault, code, name = line.split()
                if fault == operation and name in os.path.basename(path):
                    raise fuse.FuseOSError(getattr(errno, code))

    def access(self, path, amode):
        if not os.access(self.path(path), amode):
            raise fuse.FuseOSError(errno.EACCES)
        return 0

    def chmod(self, path, mode):
        os.chmod(self.path(path), mode)
        return 0

    def chown(self, path, uid, gid):
        os.chown(self.path(path), uid, gid)
        return 0

    def getattr(self, path, fh=None):
        found = os.fstat(fh) if fh is not None else os.lstat(self.path(path))
        names = ("st_gid", "st_mode", "st_nlink", "st_size", "st_uid", "st_ino", "st_blocks")
        result = {name: getattr(found, name) for name in names}
        for name in ("st_atime", "st_ctime", "st_mtime"):
            result[name] = getattr(found, name + "_ns")
        return result

    def readdir(self, path, fh):
        return [".", ".."] + os.listdir(self.path(path))

    def mkdir(self, path, mode):
        os.mkdir(self.path(path), mode)
        return 0

    def mknod(self, path, mode, dev):
        os.mknod(self.path(path), mode, dev)
        return 0

    def rmdir(self, path):
        os.rmdir(self.path(path))
        return 0

    def unlink(self, path):
        os.unlink(self.path(path))
        return 0

    def rename(self, old, new):
        os.rename(self.path(old), self.path(new))
        return 0

    def readlink(self, path):
        return os.readlink(self.path(path))

    def symlink(self, target, source):
        os.symlink(source, self.path(target))
        return 0

    def link(self, target, source):
        os.link(self.path(source), self.path(target))
        return 0

    def utimens(self, path, times=None):
        os.utime(self.path(path), ns=times)
        return 0

    def statfs(self, path):
        found = os.statvfs(self.path(path))
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_flag", "f_frsize", "f_namemax")
        return {name: getattr(found, name) for name in names}

    def open(self, path, flags):
        self.check("open", path)
        # The kernel has made offsets of it.
        return os.open(self.path(path), flags & ~os.O_APPEND)

    def create(self, path, mode, fi=None):
        self.check("open", path)
        return os.open(self.path(path), os.O_RDWR | os.O_CREAT, mode)

    def read(self, path, size, offset, fh):
        self.check("read", path)
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        self.check("write", path)
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        self.check("write", path)
        if fh is not None:
            os.ftruncate(fh, length)
        else:
            os.truncate(self.path(path), length)
        return 0

    def flush(self, path, fh):
        return 0

    def fsync(self, path, datasync, fh):
        self.check("sync", path)
        os.fsync(fh)
        return 0

    def release(self, path, fh):
        os.close(fh)
        return 0


folder, place, control = sys.argv[1:]
fuse.FUSE(FaultyDisk(folder, control), place, foreground=True, nothreads=True, allow_other=True)
