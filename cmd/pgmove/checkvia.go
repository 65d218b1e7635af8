package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/stream"
)

// via tries what a dump and a restore do at the archive's place, with a tiny object, and leaves nothing behind.
func (r *checked) via(ctx context.Context, c *cli.Context) error {
	loc, err := parseLocation("via", c.String("via"))
	if err != nil {
		return err
	}
	f := &stream.Findings{Side: "via", Object: loc.text, Severities: ownSeverities}
	store, made, err := loc.tryOpen(ctx, c)
	defer made.remove()
	if stream.KindOf(err) == stream.Usage {
		return err
	}
	if err != nil {
		f.Failed("via-unreachable", err)
		return r.take(f.List, err)
	}
	if s, ok := store.(io.Closer); ok {
		defer func() { _ = s.Close() }()
	}
	for _, t := range []struct {
		id string
		do func() error
	}{
		{"via-not-empty", func() error { return stream.Empty(ctx, store, loc.text, false) }},
		{"via-denied", func() error { return tryObject(ctx, store) }},
		{"via-upload-denied", func() error {
			if u, ok := store.(interface {
				TryUpload(context.Context, string) error
			}); ok {
				return u.TryUpload(ctx, tried)
			}
			return nil
		}},
		// Also what a refused Put may have left.
		{"via-delete-denied", func() error { return store.Delete(context.WithoutCancel(ctx), tried) }},
	} {
		err := t.do()
		if err == nil {
			continue
		}
		f.Failed(t.id, err)
		if last := &f.List[len(f.List)-1]; last.Hint == "" {
			last.Hint = "allow it; docs/s3.md has the permissions of both sides"
		}
	}
	if s, ok := store.(interface {
		Clock(context.Context) (time.Duration, error)
	}); ok {
		// Where that fails the list above has it already.
		if ahead, err := s.Clock(ctx); err == nil {
			r.clock("via", loc.text, ahead)
		}
	}
	return r.take(f.List, nil)
}

// tried is the key of the object that a check puts.
const tried = "pgmove-check"

func tryObject(ctx context.Context, s stream.Store) error {
	const text = "pgmove check: this may be deleted\n"
	if err := s.Put(ctx, tried, strings.NewReader(text)); err != nil {
		return err
	}
	rc, err := s.Get(ctx, tried, 0)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(rc, int64(len(text))+1))
	if err = errors.Join(err, rc.Close()); err != nil {
		return err
	}
	if string(b) != text {
		return stream.Fail(stream.Failed, "an object of %d bytes came back otherwise than it was put", len(text))
	}
	return nil
}

// folders are those that a check made, the innermost last.
type folders []string

// remove removes them, as far as nothing else came into them.
func (f folders) remove() {
	for i := len(f) - 1; i >= 0; i-- {
		_ = os.Remove(f[i])
	}
}

// tryOpen opens the location as it is; of a folder that isn't there it says what it made.
func (l location) tryOpen(ctx context.Context, c *cli.Context) (stream.Store, folders, error) {
	var made folders
	for dir := l.dir; !l.s3; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		made = append(folders{dir}, made...)
	}
	s, err := l.openBare(ctx, c, true)
	return s, made, err
}
