// Package watch lets a reader follow a writer over a durable store while both are in one
// process: it tells which objects became visible, and waits for those that haven't.
//
// It imports stream and the standard library. It keeps no object and starts no goroutine.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/pgmove/pgmove/stream"
)

// ErrClosed is what waiting calls return after CloseWithError(nil).
var ErrClosed = errors.New("the run's store is closed")

// Store passes all calls through to another Store and keeps a log of the keys that were put
// through it. All methods may be called from several goroutines at once.
type Store struct {
	store stream.Store

	mu   sync.Mutex
	log  []string
	puts map[string]int // how often each key stands in log
	err  error
	wake chan struct{} // closed, and made anew, at every change
}

// New returns a Store over store, with an empty log.
func New(store stream.Store) *Store {
	return &Store{store: store, puts: make(map[string]int), wake: make(chan struct{})}
}

// changed wakes all who wait; s.mu is held.
func (s *Store) changed() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// Put stores the object, and announces its key when that has succeeded.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	if err := s.store.Put(ctx, key, r); err != nil {
		return err
	}
	s.Announce(key)
	return nil
}

// Announce has an object become visible that was there before.
func (s *Store) Announce(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, key)
	s.puts[key]++
	s.changed()
}

// Get reads the object under key, from offset bytes into it. Where there is none it waits
// until one is put; it returns an error when ctx ends, and CloseWithError's.
func (s *Store) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	for {
		// Counted before asking, so that a Put between the asking and the waiting is seen.
		seen := s.count(key)
		r, err := s.store.Get(ctx, key, offset)
		if !errors.Is(err, stream.ErrNotExist) {
			return r, err
		}
		if err := s.await(ctx, func() bool { return s.puts[key] > seen }); err != nil {
			return nil, fmt.Errorf("waiting for object %s: %w", key, err)
		}
	}
}

func (s *Store) count(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts[key]
}

// await waits until there is what it is told to wait for; there is called with s.mu held.
func (s *Store) await(ctx context.Context, there func() bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !there() {
		if s.err != nil {
			return s.err
		}
		wake := s.wake
		s.mu.Unlock()
		var err error
		select {
		case <-wake:
		case <-ctx.Done():
			err = ctx.Err()
		}
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// List lists the objects of the store underneath.
func (s *Store) List(ctx context.Context, prefix string) ([]stream.ObjectInfo, error) {
	return s.store.List(ctx, prefix)
}

// Delete deletes from the store underneath. The log keeps the key.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.store.Delete(ctx, key)
}

// Visible returns the i-th key, counted from 0, that was put through this Store, and waits until
// there is one. A key that is put again is counted anew. Objects that were there before are not
// in the log: List has them.
func (s *Store) Visible(ctx context.Context, i int) (string, error) {
	if i < 0 {
		return "", fmt.Errorf("no key has the number %d", i)
	}
	if err := s.await(ctx, func() bool { return i < len(s.log) }); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log[i], nil
}

// CloseWithError ends the waiting because one side failed: calls that wait, now or later, return
// err, ErrClosed for nil. Calls that need not wait go on working. Only the first call counts.
func (s *Store) CloseWithError(err error) {
	if err == nil {
		err = ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.changed()
	}
}
