package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// temporary begins the names of files being written. No key has a "~" in it, so they are
// never listed and never collide with an object.
const temporary = ".pgmove~"

// Put stores what r yields under key: it writes a temporary file in the object's folder,
// syncs it, renames it and syncs the folder, so that neither a crash of the process nor
// one of the machine leaves half an object. On failure the temporary file is removed.
// An error of r is returned wrapped; a full disk is a *stream.Failure of kind Outage.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	if err := stream.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	dir := path.Dir(key)
	if err := s.makeFolder(dir); err != nil {
		return s.fail("writing", key, err)
	}
	f, tmp, err := s.create(dir)
	if err != nil {
		return s.fail("writing", key, err)
	}
	if err := s.fill(ctx, f, key, r); err != nil {
		return errors.Join(err, f.Close(), s.discard(tmp))
	}
	// The rename comes before the close: until then the lock tells a sweep to let
	// the file be.
	if err := s.root.Rename(tmp, filepath.FromSlash(key)); err != nil {
		return errors.Join(s.fail("writing", key, err), f.Close(), s.discard(tmp))
	}
	if err := errors.Join(s.syncDir(dir), f.Close()); err != nil {
		return s.fail("writing", key, err)
	}
	return nil
}

// fill writes r to f and onto the disk.
func (s *Store) fill(ctx context.Context, f *os.File, key string, r io.Reader) error {
	w := &sink{ctx: ctx, f: f}
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	_, err := io.CopyBuffer(w, r, *buf)
	switch {
	case w.stopped:
		return ctx.Err()
	case w.err != nil:
		return s.fail("writing", key, w.err)
	case err != nil:
		return fmt.Errorf("writing %s: its source failed: %w", key, err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if err := f.Sync(); err != nil {
		return s.fail("writing", key, err)
	}
	return ctx.Err()
}

// sink writes to a file until ctx ends. It keeps its own errors apart from the reader's,
// and hides the file's ReadFrom, which would not see ctx.
type sink struct {
	ctx     context.Context
	f       *os.File
	err     error
	stopped bool
}

func (w *sink) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		w.stopped = true
		return 0, err
	}
	n, err := w.f.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// create makes a temporary file in the folder and locks it.
func (s *Store) create(dir string) (*os.File, string, error) {
	for range 100 {
		name := filepath.Join(filepath.FromSlash(dir), fmt.Sprintf("%s%016x", temporary, rand.Uint64()))
		f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		// A sweep may have come between creating and locking; then the name is gone, or
		// about to be, and the next one is tried. Once the lock is ours and the name still
		// there, no sweep can take it.
		if lock(f) != lockHeld && s.names(name, f) {
			return f, name, nil
		}
		if err := errors.Join(f.Close(), s.discard(name)); err != nil {
			return nil, "", err
		}
	}
	return nil, "", errors.New("no name for a temporary file was free")
}

// names reports whether name is f.
func (s *Store) names(name string, f *os.File) bool {
	byName, err := s.root.Lstat(name)
	if err != nil {
		return false
	}
	byFile, err := f.Stat()
	return err == nil && os.SameFile(byName, byFile)
}

func (s *Store) discard(name string) error {
	if err := s.root.Remove(name); err != nil && !missing(err) {
		return s.fail("removing", name, err)
	}
	return nil
}

// sweep removes the temporary files of runs that were killed. A file's lock, which dies
// with its writer, tells these from files being written now; no clock is asked,
// since clocks jump. On a file system without locks nothing is removed.
func (s *Store) sweep() error {
	return fs.WalkDir(s.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if missing(err) || errors.Is(err, fs.ErrPermission) && name != "." {
			return nil // not ours
		}
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), temporary) {
			return nil
		}
		f, err := s.root.OpenFile(filepath.FromSlash(name), os.O_RDWR, 0)
		if err != nil {
			// Gone meanwhile, or another user's: it does no harm where it is.
			return nil
		}
		if lock(f) == lockTaken {
			err = s.discard(filepath.FromSlash(name))
		}
		return errors.Join(err, f.Close())
	})
}

// makeFolder makes a folder with its parents, and puts their entries on the disk once.
func (s *Store) makeFolder(dir string) error {
	if dir == "." {
		return nil
	}
	if err := s.root.MkdirAll(filepath.FromSlash(dir), dirPerm); err != nil {
		return err
	}
	if _, ok := s.synced.Load(dir); ok {
		return nil
	}
	for d := dir; d != "."; d = path.Dir(d) {
		if err := s.syncDir(path.Dir(d)); err != nil {
			return err
		}
	}
	s.synced.Store(dir, true)
	return nil
}

// syncDir puts a folder's entries on the disk.
func (s *Store) syncDir(dir string) error {
	d, err := s.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
