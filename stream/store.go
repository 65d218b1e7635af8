package stream

import (
	"context"
	"errors"
	"io"
)

// ErrNotExist is what a Store's Get returns (wrapped) for a key that holds
// nothing.
var ErrNotExist = errors.New("no such object")

// Store keeps objects under keys. A store is opened on one location (a directory,
// a bucket's prefix); keys are relative to it, use "/" as separator and match
// KeyPattern. All methods may be called from several goroutines at once.
//
// The suite in storetest states what a durable Store promises, and every durable
// Store passes it. pipestore keeps less: see there.
type Store interface {
	// Put stores all that r yields until io.EOF under key. The object becomes
	// visible whole or not at all: when r or ctx fails, nothing is left of it.
	// An object already there is replaced.
	Put(ctx context.Context, key string, r io.Reader) error
	// Get reads the object under key, from offset bytes into it. An offset at or
	// beyond the end yields io.EOF at once. The error wraps ErrNotExist where
	// there is no such object. A read that ends before the object does returns
	// io.ErrUnexpectedEOF, never io.EOF.
	Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error)
	// List returns the objects whose keys begin with prefix, sorted by key.
	List(ctx context.Context, prefix string) ([]ObjectInfo, error)
	// Delete removes the object under key; that it isn't there is no error.
	Delete(ctx context.Context, key string) error
}

// Stranger is the ability of a Store to tell of what lies at its place and is not listed, since its name is no key or it is no file.
type Stranger interface {
	Strange(ctx context.Context) ([]string, error)
}

// ObjectInfo is what List tells of an object.
type ObjectInfo struct {
	Key  string
	Size int64
}

// CheckKey returns an error unless key is a name that pgmove gives to objects: parts of
// letters, digits, "_", ".", "+" and "-", separated by single slashes, no part
// empty or of dots alone, 512 bytes at most. Stores call it before they touch anything,
// since keys may come from an archive that is not to be trusted.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > 512 {
		return errors.New("object key: its length is out of bounds")
	}
	dots := true
	n := 0
	for i := 0; i < len(key); i++ {
		c := key[i]
		switch {
		case c == '/':
			if n == 0 || dots {
				return errors.New("object key: a part is empty or of dots alone")
			}
			n, dots = 0, true
			continue
		case c == '.':
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '+', c == '-':
			dots = false
		default:
			return errors.New("object key: a character that pgmove does not use")
		}
		n++
	}
	if n == 0 || dots {
		return errors.New("object key: a part is empty or of dots alone")
	}
	return nil
}

// ErrAbandoned is what Put on a live store returns (wrapped) when the reader gave
// the object back instead of taking it; it may be offered again.
var ErrAbandoned = errors.New("the reader gave the object back")
