// Package pipestore is the store of a direct run: what the writer puts goes to the reader
// through memory, and nothing is staged.
//
// It has a Store's methods and keeps less than a durable Store (package storetest says what that
// keeps). Data objects are handed over: Put offers a reader, Get takes it, each byte goes
// through once, nothing is buffered, and Put's nil means that the getter acknowledged the
// object, which it does when the rows are committed on the target. Metadata, the keys under
// "pgmove/", is small and kept in memory until the end.
//
// It imports stream and the standard library. It keeps no goroutine and never turns
// a failure of the writer into an end of file.
package pipestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/pgmove/pgmove/stream"
)

// MetaPrefix begins the keys of metadata.
const MetaPrefix = "pgmove/"

// maxMeta bounds the metadata of a run, in bytes, all objects together.
const maxMeta = 1 << 30

// ErrAbandoned is what Put returns (wrapped) when the getter gave the object back. The
// same object may then be put again.
var ErrAbandoned = stream.ErrAbandoned

// ErrClosed is what calls return after CloseWithError(nil).
var ErrClosed = errors.New("the run's store is closed")

// Store passes objects from a run's writer to its reader. All methods may be called from
// several goroutines at once. The zero Store is not usable: see New.
type Store struct {
	mu     sync.Mutex
	offers map[string]*offer // offered or taken, and not settled
	meta   map[string][]byte
	size   int64 // of meta, in bytes
	log    []string
	err    error         // set by CloseWithError
	wake   chan struct{} // closed, and made anew, at every change
}

// New returns an empty store.
func New() *Store {
	return &Store{
		offers: make(map[string]*offer),
		meta:   make(map[string][]byte),
		wake:   make(chan struct{}),
	}
}

// changed wakes all who wait; s.mu is held.
func (s *Store) changed() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// CloseWithError ends the store because one side failed: calls that block and calls to come return
// err, as do reads of objects that are being passed. Only the first call counts; nil stands
// for ErrClosed.
func (s *Store) CloseWithError(err error) {
	if err == nil {
		err = ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	for _, o := range s.offers {
		o.settle(err)
	}
	s.changed()
}

// Put passes on what r yields. Under a key of metadata it reads all of r into memory and
// returns; it replaces what was there.
//
// Under any other key it offers r and returns when a getter has read it to its end and
// acknowledged it: nil then means taken for good. It returns an error that wraps ErrAbandoned
// where the getter gave it back; r's own error where r failed, which the getter got too;
// ctx's error once ctx ends, and CloseWithError's. A getter that was reading then gets that
// error from its next Read.
//
// When Put returns, nobody reads r any more. To make sure of that it waits for a Read of r
// under way; where r has CloseWithError(error) error, as a pipe's reader does, Put calls it
// on failure so that such a Read ends.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	if err := stream.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if strings.HasPrefix(key, MetaPrefix) {
		return s.keep(ctx, key, r)
	}
	o := &offer{store: s, key: key, r: r, done: make(chan struct{})}
	if err := s.announce(o); err != nil {
		return err
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		s.mu.Lock()
		o.settle(ctx.Err())
		s.mu.Unlock()
	}
	return o.leave()
}

func (s *Store) announce(o *offer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.offers[o.key] != nil {
		return fmt.Errorf("object %s is on offer already", o.key)
	}
	s.offers[o.key] = o
	s.log = append(s.log, o.key)
	s.changed()
	return nil
}

// keep stores metadata.
func (s *Store) keep(ctx context.Context, key string, r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(&bound{ctx: ctx, r: r}, maxMeta+1))
	if err != nil {
		return fmt.Errorf("keeping %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	size := s.size - int64(len(s.meta[key])) + int64(len(b))
	if size > maxMeta {
		return fmt.Errorf("keeping %s: a run's metadata is bounded to %d bytes", key, maxMeta)
	}
	s.size = size
	s.meta[key] = b
	s.log = append(s.log, key)
	s.changed()
	return nil
}

// bound ends reads with ctx.
type bound struct {
	ctx context.Context
	r   io.Reader
}

func (b *bound) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

// Get waits until key is offered, takes it and returns it as an *Object. The offset must be 0,
// and each offer is taken once: a second Get waits for another Put. Reads of the object end
// when ctx ends.
//
// Metadata is waited for too; it can be read any number of times and from an offset, in
// bytes, and its reader is no *Object.
func (s *Store) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	if err := stream.CheckKey(key); err != nil {
		return nil, err
	}
	meta := strings.HasPrefix(key, MetaPrefix)
	if offset < 0 || offset > 0 && !meta {
		return nil, fmt.Errorf("object %s: a direct run has no offset %d to read from", key, offset)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.err != nil {
			return nil, s.err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if b, ok := s.meta[key]; ok {
			b = b[min(offset, int64(len(b))):]
			return io.NopCloser(&bound{ctx: ctx, r: bytes.NewReader(b)}), nil
		}
		if o := s.offers[key]; o != nil && !o.taken {
			o.taken = true
			return newObject(ctx, o), nil
		}
		if err := s.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// wait waits for a change, with s.mu given up meanwhile.
func (s *Store) wait(ctx context.Context) error {
	wake := s.wake
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Visible returns the i-th key, counted from 0, that became visible, and waits until there
// is one. Data is visible from the start of its Put, and each Put of the same key is counted
// anew; metadata once it is kept.
func (s *Store) Visible(ctx context.Context, i int) (string, error) {
	if i < 0 {
		return "", fmt.Errorf("no key has the number %d", i)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.err != nil {
			return "", s.err
		}
		if i < len(s.log) {
			return s.log[i], nil
		}
		if err := s.wait(ctx); err != nil {
			return "", err
		}
	}
}

// List returns the metadata whose keys begin with prefix, sorted by key. Data that
// passes through is never listed.
func (s *Store) List(_ context.Context, prefix string) ([]stream.ObjectInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	var found []stream.ObjectInfo
	for k, b := range s.meta {
		if strings.HasPrefix(k, prefix) {
			found = append(found, stream.ObjectInfo{Key: k, Size: int64(len(b))})
		}
	}
	slices.SortFunc(found, func(a, b stream.ObjectInfo) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

// Delete forgets the metadata under key. Data that passes through can't be deleted;
// that there is nothing to delete is no error.
func (s *Store) Delete(_ context.Context, key string) error {
	if err := stream.CheckKey(key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.size -= int64(len(s.meta[key]))
	delete(s.meta, key)
	return nil
}
