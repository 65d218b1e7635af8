// Package mysource reads a MySQL or MariaDB database under one snapshot: its definitions from SHOW CREATE, its
// rows, as LOAD DATA takes them, and the positions of its sequences.
//
// It imports stream, internal/mysession and the driver's interfaces. It never writes to the database,
// never builds DDL from the catalogs, and never prints.
package mysource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// Engine is what an archive's header calls this engine.
const Engine = "mysql"

// Options tunes a source.
type Options struct {
	// Jobs is how many sessions read rows; 1 where it is less.
	Jobs int
	// SplitSize is the size, in bytes of data on disk, above which a table is read in several chunks of about
	// that size; 0 for DefaultSplitSize.
	SplitSize int64
	// LockWait is how long locks that block writers are waited for before the next rung of the ladder is tried; 0
	// for DefaultLockWait. While they are waited for, writers wait too.
	LockWait time.Duration
	// Ladder restricts the rungs that are tried; nil tries all, in their order.
	Ladder []Rung
	// Uncovered opens a database to which nobody writes, such as a target that is compared: its sessions' snapshots need not
	// agree, and nothing is locked.
	Uncovered bool
	// Selection restricts what is dumped. Known is what its patterns call the database, "" for its own name.
	Selection stream.Selection
	Known     string
	// Throttle bounds how many bytes of rows a second are read; nil for no bound.
	Throttle *stream.Throttle
	// Patience is how long an unreachable server is tried again.
	Patience time.Duration
	// Observe gets warnings.
	Observe stream.Observer
	// Side names the side in events: "dump" or "validate".
	Side string
}

// The defaults.
const (
	DefaultSplitSize = 256 << 20
	DefaultLockWait  = 10 * time.Second
)

// Source is a database opened for reading.
type Source struct {
	conn *mysession.Conn
	opts Options
	// control lists and locks; it reads no rows.
	control *mysession.Session
	// guard holds the locks of tables that no snapshot covers, until Release; nil where there is none.
	guard *mysession.Session
	// workers are the sessions that hold the snapshot and aren't at work.
	workers chan *worker
	all     []*worker

	mu   sync.Mutex     // of what follows
	left int            // workers that still hold the snapshot
	lost error          // why none is left, or that the snapshot was released
	dead chan struct{}  // closed when lost is set
	busy sync.WaitGroup // calls that have a worker, or wait for one

	version  mysession.Version
	facts    stream.Source
	rels     map[string]*relation
	order    []*relation
	files    map[string]string // by table: the name of its files in an archive
	creates  map[string]string // by table: what creates it with all its indexes and keys
	wholes   map[string]string // the same, without the AUTO_INCREMENT value
	seqs     []stream.SequenceValue
	schema   []stream.SchemaItem
	picks    *stream.Picks // which tables, views and sequences are moved; nil for all
	leftOut  []string      // tables that are not
	database string        // what sets the database's charset and collation
	earlyMu  sync.Mutex    // of early and peek
	early    []*worker     // sessions of LoadedTo that are idle
	peek     *Source       // what LoadedTo knows of the tables
	warnMu   sync.Mutex
	warnings []stream.Text
}

// Open connects to the source and checks, without locking anything, that it can be dumped. Errors are Failures.
func Open(ctx context.Context, conn *mysession.Conn, o Options) (*Source, error) {
	s, err := connect(ctx, conn, o)
	if err != nil {
		return nil, err
	}
	if err := s.preflight(ctx); err != nil {
		s.Close()
		return nil, mysession.Explain(err, conn.Name())
	}
	return s, nil
}

// connect opens the control session.
func connect(ctx context.Context, conn *mysession.Conn, o Options) (*Source, error) {
	o.Jobs = max(o.Jobs, 1)
	if o.SplitSize <= 0 {
		o.SplitSize = DefaultSplitSize
	}
	if o.LockWait <= 0 {
		o.LockWait = DefaultLockWait
	}
	if o.Side == "" {
		o.Side = "dump"
	}
	if o.Ladder == nil {
		o.Ladder = allRungs
	}
	s := &Source{conn: conn, opts: o, dead: make(chan struct{})}
	var err error
	if s.picks, err = o.Selection.Picks(cmp.Or(o.Known, conn.Database())); err != nil {
		return nil, err
	}
	if s.control, err = s.session(ctx); err != nil {
		return nil, err
	}
	s.version = s.control.Version
	s.facts = stream.Source{Version: s.version.Text, VersionNum: s.version.Num, Database: stream.Text(conn.Database()),
		Encoding: "utf8mb4", Session: mysession.Pins(mysession.Read, s.version), DumpTool: "SHOW CREATE of " + s.version.Name(), Selection: o.Selection}
	return s, nil
}

func (s *Source) session(ctx context.Context) (*mysession.Session, error) {
	return mysession.Connect(ctx, s.conn, mysession.Options{Role: mysession.Read, Patience: s.opts.Patience})
}

// reconnect opens the control session anew where it was lost before it held anything: between Open and Entries of a target that
// is compared it is loaded.
func (s *Source) reconnect(ctx context.Context) error {
	if s.control.Alive(ctx) {
		return nil
	}
	c, err := s.session(ctx)
	if err != nil {
		return err
	}
	_ = c.Bury(ctx, s.control.Backend)
	s.control.End()
	s.control = c
	return nil
}

func (s *Source) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.warnMu.Lock()
	s.warnings = append(s.warnings, stream.Text(text))
	s.warnMu.Unlock()
	s.opts.Observe.Warn(s.opts.Side, text)
}

// Facts tells about the server and its database.
func (s *Source) Facts() stream.Source { return s.facts }

// preflight refuses what could not be dumped whole, or not be known to be.
func (s *Source) preflight(ctx context.Context) error {
	for _, check := range []func(context.Context) error{s.checkVersion, s.identify, s.checkGrants} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) checkVersion(context.Context) error {
	if old := map[bool]int{true: 10030000, false: 5070000}[s.version.MariaDB]; s.version.Num < old {
		return (&stream.Failure{Kind: stream.Preflight, Object: s.conn.Name(), Msg: s.version.Name() + " is too old"}).
			WithHint("pgmove reads MariaDB 10.3 and newer, and MySQL 5.7 and newer")
	}
	return nil
}

// identify reads the server's own ID, where it has one, and where it runs.
func (s *Source) identify(ctx context.Context) (err error) {
	if s.facts.SystemID, err = s.control.SystemID(ctx); err != nil {
		return err
	}
	if s.facts.Started, err = s.control.Place(ctx); err != nil {
		return err
	}
	return nil
}

// Contents returns the sequences' values and the schema, after Entries.
func (s *Source) Contents() ([]stream.SequenceValue, []stream.SchemaItem) { return s.seqs, s.schema }

var errReleased = errors.New("the snapshot was released")

// Release ends the snapshot and closes all sessions. It returns an error where the locks of tables that no
// snapshot covers were lost before: what was read after that is worth nothing.
func (s *Source) Release(ctx context.Context) error {
	err := s.giveUp(errReleased)
	if err == nil && s.guard != nil {
		if gerr := s.guard.Do(ctx, "UNLOCK TABLES"); gerr != nil {
			err = s.snapshotLost(gerr)
		}
	}
	s.Close()
	return err
}

// snapshotLost: MySQL's snapshots can't be handed on. With its sessions it is gone.
func (s *Source) snapshotLost(err error) error {
	return stream.Last((&stream.Failure{Kind: stream.Outage, Object: s.conn.Name(), Msg: "the sessions that hold the snapshot are gone", Err: err}).
		WithHint("run again with --resume: what was finished is digested again, as rows read from now on are of another moment"))
}

// Close closes all sessions, whatever their state.
func (s *Source) Close() {
	_ = s.giveUp(errReleased)
	s.busy.Wait()
	for _, w := range s.all {
		w.sess.End()
	}
	s.all = nil
	s.endLoaded()
	for _, sess := range []**mysession.Session{&s.guard, &s.control} {
		if *sess != nil {
			(*sess).End()
			*sess = nil
		}
	}
}
