package stream

import (
	"errors"
	"io"
	"sync"
)

// Lent is a reader in the hands of a driver, which may read on when it has given up: where a connection breaks, pgconn returns
// while its own goroutine still reads. It keeps the error that ended the reading.
type Lent struct {
	mu   sync.Mutex // held while r is read
	r    io.Reader
	err  error
	back bool
}

// Lend hands r out, until TakeBack.
func Lend(r io.Reader) *Lent { return &Lent{r: r} }

// Read reads; it returns io.ErrClosedPipe after TakeBack.
func (l *Lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.back {
		return 0, io.ErrClosedPipe
	}
	n, err := l.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}

// TakeBack waits until nobody reads any more, and returns what ended the reading early, nil where nothing did.
func (l *Lent) TakeBack() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.back = true
	return l.err
}
