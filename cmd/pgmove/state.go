package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/pgmove/pgmove/stream"
)

// state is the file of --state: a line that says of which target and of which run, and one for each table that was found
// equal. It only grows; what a crash left half written at its end doesn't count.
type state struct {
	mu    sync.Mutex
	f     *os.File
	known map[string]stateTable
}

// stateHeader is the file's first line.
type stateHeader struct {
	Format int    `json:"pgmove_state"`
	Target string `json:"target"` // the system's identifier and the database
	Run    string `json:"run,omitempty"`
}

// stateTable is each other line.
type stateTable struct {
	Table   string        `json:"table"`
	Form    string        `json:"form,omitempty"`
	Digest  stream.Digest `json:"digest"`
	Counted bool          `json:"counted,omitempty"`
	Checked time.Time     `json:"checked"`
}

// openState opens a state, or begins one.
func openState(file string, want stateHeader, resume bool) (*state, error) {
	refuse := func(msg, hint string) error {
		return (&stream.Failure{Kind: stream.Usage, Object: file, Msg: msg}).WithHint("%s", hint)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if f, err = os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return nil, stream.Fail(stream.Usage, "--state: %s", err)
		}
		s := &state{f: f, known: map[string]stateTable{}}
		return s, s.append(want)
	case err != nil:
		return nil, stream.Fail(stream.Usage, "--state: %s", err)
	case !resume:
		_ = f.Close()
		return nil, refuse("an earlier validation has left its state there", "go on with --resume, or delete the file")
	}
	s := &state{f: f, known: map[string]stateTable{}}
	if err := s.load(want, refuse); err != nil {
		_ = f.Close()
		return nil, err
	}
	return s, nil
}

func (s *state) load(want stateHeader, refuse func(string, string) error) error {
	in := bufio.NewReader(s.f)
	var end int64
	for first := true; ; first = false {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break // the end, or half a line
		}
		if first {
			var h stateHeader
			if json.Unmarshal(line, &h) != nil || h.Format != 1 {
				return refuse("not a state of pgmove validate", "name another file")
			}
			if h.Target != want.Target || h.Run != want.Run {
				return refuse("it is the state of another target, or of another run's contents", "name another file")
			}
		} else {
			var t stateTable
			if json.Unmarshal(line, &t) != nil {
				return refuse("it is damaged", "delete it, and validate afresh")
			}
			s.known[t.Table] = t
		}
		end += int64(len(line))
	}
	if end == 0 {
		return refuse("not a state of pgmove validate", "name another file")
	}
	if err := s.f.Truncate(end); err != nil {
		return stream.Fail(stream.Failed, "--state: %s", err)
	}
	_, err := s.f.Seek(end, 0)
	return err
}

func (s *state) append(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = s.f.Write(append(b, '\n'))
	}
	if err != nil {
		return stream.Fail(stream.Failed, "--state: %s", err)
	}
	return nil
}

// Known returns when a table was found equal.
func (s *state) Known(table, form string, want stream.Digest, counted bool) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.known[table]
	if !ok || counted && t.Digest.Rows != want.Rows || !counted && (t.Counted || t.Form != form || t.Digest != want) {
		return time.Time{}, false
	}
	return t.Checked, true
}

// Keep notes that a table is equal.
func (s *state) Keep(table, form string, got stream.Digest, counted bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.append(stateTable{Table: table, Form: form, Digest: got, Counted: counted, Checked: time.Now().UTC().Truncate(time.Second)})
}

func (s *state) close() error {
	if s == nil {
		return nil
	}
	return s.f.Close()
}
