// Package filestore is the durable store on a directory: one file an object, the
// object's key as its path.
//
// It imports stream and the standard library. It never writes, reads or follows a
// symbolic link outside its directory, never shows an object before all its bytes
// are on the disk, and never prints.
package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/pgmove/pgmove/stream"
)

// The permissions of what the store makes: an archive holds the whole database,
// so it is its owner's alone.
const (
	dirPerm  = 0o700
	filePerm = 0o600
)

// copyBuffer is how much, in bytes, Put takes from its reader at a time.
const copyBuffer = 256 << 10

// Store keeps each object as one regular file below a directory, with mode 0600 in
// folders of mode 0700. Where a file system can't have an object "a" beside an object
// "a/b", Put of the second fails; pgmove never names objects so.
type Store struct {
	dir     string
	root    *os.Root
	buffers sync.Pool
	// synced holds the folders whose own entry in their parent is known to be on
	// the disk.
	synced sync.Map
}

// Open opens the store in dir. With create, dir is made where it is missing and what
// killed runs left in it is swept away: open for reading without.
//
// The error is a *stream.Failure: Preflight where dir is missing or no directory, Denied
// where permissions stand in the way.
func Open(dir string, create bool) (*Store, error) {
	if create {
		if err := makeDir(dir); err != nil {
			return nil, openFailure(dir, err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, openFailure(dir, err)
	}
	s := &Store{dir: dir, root: root}
	s.buffers.New = func() any { b := make([]byte, copyBuffer); return &b }
	if create {
		if err := s.sweep(); err != nil {
			return nil, errors.Join(openFailure(dir, err), root.Close())
		}
	}
	return s, nil
}

// makeDir makes dir and its parents, and puts dir's entry in its parent on the disk.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, dirPerm); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(filepath.Clean(dir)))
	if err != nil {
		// A parent that we may write but not read can't be synced by us.
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

func openFailure(dir string, err error) error {
	fail := func(kind stream.Kind, msg string) *stream.Failure {
		return &stream.Failure{Kind: kind, Object: dir, Msg: msg}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(stream.Preflight, "no such directory")
	case errors.Is(err, syscall.ENOTDIR):
		return fail(stream.Preflight, "not a directory")
	case errors.Is(err, fs.ErrPermission):
		return fail(stream.Denied, "the directory may not be opened").Because(bare(err))
	}
	if f := diskFailure(dir, err); f != nil {
		return f
	}
	return fail(stream.Preflight, "the directory can't be opened").Because(bare(err))
}

// diskFailure returns the failure for a disk that takes no more bytes, nil for all
// other errors: an outage, since the run goes on once there is room.
func diskFailure(object string, err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return nil
	}
	f := &stream.Failure{Kind: stream.Outage, Object: object, Msg: "no space is left on the disk", Err: bare(err)}
	return f.WithHint("free some space and run again with --resume")
}

// bare drops the path that a *fs.PathError or *os.LinkError names: messages name the object
// and the directory themselves.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// Close releases the directory. Objects being read stay readable; no other call may
// follow.
func (s *Store) Close() error { return s.root.Close() }

// fail says what went wrong with which object, and classifies a full disk.
func (s *Store) fail(doing, key string, err error) error {
	name := filepath.Join(s.dir, filepath.FromSlash(key))
	if f := diskFailure(name, err); f != nil {
		return f
	}
	if errors.Is(err, fs.ErrPermission) {
		return (&stream.Failure{Kind: stream.Denied, Object: name, Msg: doing + " is not permitted"}).Because(bare(err))
	}
	return fmt.Errorf("%s %s: %w", doing, name, bare(err))
}

// missing reports whether err means that nothing has the name: also that a part of the
// path is a file.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// Get reads the object under key from offset, in bytes. Once ctx ends, so do reads. See
// stream.Store.
func (s *Store) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	if err := stream.CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("reading %s: a negative offset: %d", key, offset)
	}
	// O_NONBLOCK: a FIFO of that name must not hold us up until someone writes to it.
	f, err := s.root.OpenFile(filepath.FromSlash(key), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if missing(err) {
		return nil, fmt.Errorf("%s: %w", key, stream.ErrNotExist)
	}
	if err != nil {
		return nil, s.fail("reading", key, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = stream.ErrNotExist
	default:
		_, err = f.Seek(min(offset, info.Size()), io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(s.fail("reading", key, err), f.Close())
	}
	return &object{ctx: ctx, f: f, left: max(info.Size()-offset, 0)}, nil
}

// object reads a file up to the size that it had when it was opened.
type object struct {
	ctx  context.Context
	f    *os.File
	left int64
}

func (o *object) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	if o.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > o.left {
		p = p[:o.left]
	}
	n, err := o.f.Read(p)
	o.left -= int64(n)
	if err == io.EOF {
		// The file was cut short under us.
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (o *object) Close() error { return o.f.Close() }

// Strange returns the names of files in the folder itself that are no keys, and of all there that is neither a file nor a folder.
func (s *Store) Strange(ctx context.Context) ([]string, error) {
	list, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil || ctx.Err() != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	var names []string
	for _, d := range list {
		if !d.IsDir() && (stream.CheckKey(d.Name()) != nil || !d.Type().IsRegular()) {
			names = append(names, d.Name())
		}
	}
	return names, nil
}

// List returns the objects whose keys begin with prefix, sorted by key. Files whose
// names are no keys, symbolic links and whatever else is no regular file are not objects and
// are not listed.
func (s *Store) List(ctx context.Context, prefix string) ([]stream.ObjectInfo, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	top := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		top = prefix[:i]
	}
	var found []stream.ObjectInfo
	err := fs.WalkDir(s.root.FS(), top, func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if missing(err) {
			return nil // deleted meanwhile, or no folder of the prefix
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != top && !strings.HasPrefix(name, prefix) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !strings.HasPrefix(name, prefix) || stream.CheckKey(name) != nil {
			return nil
		}
		info, err := d.Info()
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		found = append(found, stream.ObjectInfo{Key: name, Size: info.Size()})
		return nil
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, s.fail("listing", prefix, err)
	}
	// The walk's order is by folder, and "a-b" sorts before "a/b".
	slices.SortFunc(found, func(a, b stream.ObjectInfo) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

// checkPrefix returns an error unless some key could begin with prefix.
func checkPrefix(prefix string) error {
	if err := stream.CheckKey(prefix + "x"); err != nil {
		return fmt.Errorf("listing a prefix: %w", err)
	}
	return nil
}

// Delete removes the object under key; that it isn't there is no error. Folders
// stay, as another Put may be about to use them.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := stream.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	name := filepath.FromSlash(key)
	info, err := s.root.Lstat(name)
	if missing(err) || err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		err = s.root.Remove(name)
	}
	if err != nil && !missing(err) {
		return s.fail("deleting", key, err)
	}
	if err := s.syncDir(path.Dir(key)); err != nil {
		return s.fail("deleting", key, err)
	}
	return nil
}
