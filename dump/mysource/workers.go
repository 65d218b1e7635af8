package mysource

import (
	"context"

	"github.com/pgmove/pgmove/internal/mysession"
)

// startWorkers lets the workers, who hold the snapshot by now, be taken.
func (s *Source) startWorkers() {
	s.workers = make(chan *worker, len(s.all))
	for _, w := range s.all {
		s.workers <- w
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = len(s.all)
}

// with runs f with a worker. One whose connection is gone doesn't come back, since no other could take its place in the snapshot.
func (s *Source) with(ctx context.Context, f func(*worker) error) error {
	s.mu.Lock()
	if s.lost != nil {
		defer s.mu.Unlock()
		return s.lost
	}
	s.busy.Add(1)
	s.mu.Unlock()
	defer s.busy.Done()
	var w *worker
	select {
	case w = <-s.workers:
	case <-s.dead:
		return s.check()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := f(w)
	if mysession.Lost(err) || !w.sess.Lives() {
		s.mu.Lock()
		s.left--
		last := s.left == 0
		s.mu.Unlock()
		if last {
			_ = s.giveUp(s.snapshotLost(err))
		}
		return err
	}
	s.workers <- w
	return err
}

// giveUp notes why nothing can be read any more; it returns what was noted first.
func (s *Source) giveUp(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil {
		s.lost = err
		close(s.dead)
		return nil
	}
	return s.lost
}

// check returns why there is no snapshot to read, nil while there is one.
func (s *Source) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}
