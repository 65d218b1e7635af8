package filestore_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/filestore"
	"github.com/pgmove/pgmove/stream/storetest"
	"github.com/pgmove/pgmove/stream/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *filestore.Store {
	t.Helper()
	s, err := filestore.Open(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// temporaries returns the files below dir that are no objects.
func temporaries(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(name, "~") {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestConformance(t *testing.T) {
	dirs := make(map[stream.Store]string)
	storetest.Exercise(t, func(t *testing.T) stream.Store {
		dir := filepath.Join(t.TempDir(), "new", "archive")
		s := open(t, dir)
		dirs[s] = dir
		return s
	}, storetest.Residue(func(t *testing.T, s stream.Store) []string { return temporaries(t, dirs[s]) }))
}

func TestConformanceWatched(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T) stream.Store { return watch.New(open(t, t.TempDir())) }, storetest.Awaits())
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir    string
		create bool
		want   string
	}{
		{filepath.Join(dir, "missing"), false, "no such directory"},
		{file, false, "not a directory"},
		{file, true, "not a directory"},
		{filepath.Join(file, "below"), true, "not a directory"},
	} {
		_, err := filestore.Open(c.dir, c.create)
		if stream.KindOf(err) != stream.Preflight || !strings.Contains(err.Error(), c.want) ||
			strings.Count(err.Error(), c.dir) != 1 {
			t.Errorf("Open(%s, %v): %v, want a refusal that says %q", c.dir, c.create, err, c.want)
		}
	}
}

func TestPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	s := open(t, dir)
	if err := s.Put(t.Context(), "a/b/c", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"": 0o700 | fs.ModeDir, "a": 0o700 | fs.ModeDir, "a/b": 0o700 | fs.ModeDir, "a/b/c": 0o600,
	} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%q has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

// TestSymlinks: a link is no object, and no way out of the directory.
func TestSymlinks(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	for name, to := range map[string]string{"file": secret, "folder": outside, "up": "../" + filepath.Base(outside)} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"file", "folder/secret", "up/secret"} {
		if r, err := s.Get(t.Context(), key, 0); err == nil {
			b, _ := io.ReadAll(r)
			t.Errorf("Get(%s) = %q", key, b)
			_ = r.Close()
		}
	}
	for _, key := range []string{"folder/new", "up/secret", "folder/sub/new"} {
		if err := s.Put(t.Context(), key, strings.NewReader("x")); err == nil {
			t.Errorf("Put(%s) succeeded", key)
		}
		if err := s.Delete(t.Context(), key); err == nil && key == "up/secret" {
			t.Errorf("Delete(%s) succeeded", key)
		}
	}
	if found, err := s.List(t.Context(), ""); err != nil || len(found) > 0 {
		t.Errorf("List = %v, %v", found, err)
	}
	if strange, err := s.Strange(t.Context()); err != nil || !slices.Equal(strange, []string{"file", "folder", "up"}) {
		t.Errorf("Strange = %v, %v", strange, err)
	}
	if found, _ := s.List(t.Context(), "folder/"); len(found) > 0 {
		t.Errorf("List of a linked folder = %v", found)
	}
	// A link in an object's place is replaced, not followed.
	if err := s.Put(t.Context(), "file", strings.NewReader("mine")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(outside)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(secret); len(entries) != 1 || string(b) != "secret" {
		t.Errorf("outside the directory there is %v now, and the secret is %q", entries, b)
	}
}

func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, name := range []string{"a b", "new\nline", ".hidden~"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := s.List(t.Context(), ""); err != nil || len(found) > 0 {
		t.Errorf("List = %v, %v", found, err)
	}
	if _, err := s.Get(t.Context(), "fifo", 0); !errors.Is(err, stream.ErrNotExist) {
		t.Errorf("Get of a FIFO: %v", err)
	}
}

func TestShrinkingFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), "k", strings.NewReader(strings.Repeat("x", 100_000))); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{0, 60_000} {
		if err := os.Truncate(filepath.Join(dir, "k"), 100_000); err != nil {
			t.Fatal(err)
		}
		r, err := s.Get(t.Context(), "k", offset)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, "k"), 50_000); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != io.ErrUnexpectedEOF {
			t.Errorf("from %d: %d bytes, then %v", offset, len(b), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// blocked waits until it is told to go on.
type blocked struct{ reached, goOn chan struct{} }

func (b *blocked) Read([]byte) (int, error) {
	close(b.reached)
	<-b.goOn
	return 0, io.EOF
}

// TestSweep: what a killed run left goes, what another run is writing stays.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), "a/kept", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(dir, "a", ".pgmove~0123456789abcdef")
	if err := os.WriteFile(stale, []byte("half an object"), 0o600); err != nil {
		t.Fatal(err)
	}
	live := &blocked{reached: make(chan struct{}), goOn: make(chan struct{})}
	done := make(chan error)
	go func() { done <- s.Put(context.Background(), "a/live", live) }()
	<-live.reached
	// A clock that jumps decides nothing.
	for _, name := range temporaries(t, dir) {
		if err := os.Chtimes(name, time.Time{}, time.Now().Add(-48*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := filestore.Open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(temporaries(t, dir)) != 2 {
		t.Error("opening for reading changed the directory")
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	open(t, dir)
	if left := temporaries(t, dir); len(left) != 1 || left[0] == stale {
		t.Errorf("after the sweep there are %q", left)
	}
	close(live.goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if left := temporaries(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	found, err := s.List(t.Context(), "")
	if err != nil || len(found) != 2 {
		t.Errorf("List = %v, %v", found, err)
	}
}

// TestSweepRaces: directories opened for writing all the time fail no Put.
func TestSweepRaces(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	stop, swept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swept)
		for {
			select {
			case <-stop:
				return
			default:
			}
			other, err := filestore.Open(dir, true)
			if err != nil {
				t.Error(err)
				return
			}
			_ = other.Close()
		}
	}()
	for range 300 {
		if err := s.Put(t.Context(), "k", strings.NewReader("x")); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-swept
}
