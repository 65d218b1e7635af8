// Package mytarget applies an archive to a MySQL or MariaDB database: entries one by one, since each
// definition commits by itself, and chunks by LOAD DATA LOCAL, each in one transaction with its ledger row.
//
// It imports stream, internal/mysession and the driver. It never runs the mysql client or myloader, never
// creates or drops a database, reads no file, and never prints.
package mytarget

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// Engine is what an archive's header calls this engine.
const Engine = "mysql"

// Options tunes a target.
type Options struct {
	// Definer says whose views, triggers, routines and events become.
	Definer Definer
	// ReadBack says that the account will read back what it makes, routines that run as others too.
	ReadBack bool
	// Resume has Prepare go on with what an earlier process left, where there is such.
	Resume bool
	// Clean has Prepare drop what the archive creates.
	Clean bool
	// CleanWait is how long sessions are waited for that use what is to be dropped; 0 for DefaultCleanWait. Meanwhile others wait behind us.
	CleanWait time.Duration
	// Sessions is how many sessions are opened at the most; 2 where it is less.
	Sessions int
	// Patience is how long an unreachable server is tried again.
	Patience time.Duration
	// Retry is how long the ledger is asked for a transaction in doubt.
	Retry   stream.Retry
	Observe stream.Observer
}

// DefaultCleanWait is how long tables in use are waited for.
const DefaultCleanWait = 10 * time.Second

// Target is a MySQL or MariaDB database that takes an archive.
type Target struct {
	conn     *mysession.Conn
	opts     Options
	control  *mysession.Session // holds the lock against other runs; in use by several with controlMu
	sessions chan *pooled

	controlMu   sync.Mutex
	joined      time.Time // when the control session was last known to live
	notJoined   error     // how rejoin last failed, if it did, and when that try began
	notJoinedAt time.Time
	committed   stream.Commits // this process's
	deadMu      sync.Mutex
	dead        map[stream.Part]mysession.Backend // of sessions that were lost, by what they were at
	tried       map[stream.DumpID]bool            // entries that this process began to make, and doesn't know that it did; with deadMu

	source stream.Source
	run    string
	epoch  int64
	byID   map[stream.DumpID]*stream.Entry
	ledger bool // made, or taken over
	taken  stream.Taken
	again  bool // what the ledger doesn't list may be there
	// engines are those of the tables, by name, that rows go into and that were there before; nil where the run makes its tables.
	engines map[string]string
	filled  []string // their names
	drops   []dropped
	warnMu  sync.Mutex
	warned  map[string]bool
}

// Open connects to the target; it changes nothing there.
func Open(ctx context.Context, conn *mysession.Conn, o Options) (*Target, error) {
	o.Sessions = min(max(o.Sessions, 2), maxSessions)
	if o.CleanWait <= 0 {
		o.CleanWait = DefaultCleanWait
	}
	t := &Target{conn: conn, opts: o, warned: map[string]bool{}, dead: map[stream.Part]mysession.Backend{}, tried: map[stream.DumpID]bool{}}
	c, err := t.session(ctx)
	if err != nil {
		return nil, err
	}
	t.control = c
	t.sessions = make(chan *pooled, o.Sessions)
	for n := range o.Sessions {
		t.sessions <- &pooled{n: n}
	}
	return t, nil
}

func (t *Target) session(ctx context.Context) (*mysession.Session, error) {
	s, err := mysession.Connect(ctx, t.conn, mysession.Options{Role: mysession.Load, Patience: t.opts.Patience})
	if err != nil {
		return nil, err
	}
	for _, q := range tuning(s.Version, max(t.opts.Sessions/2, 1)) {
		if err := s.Do(ctx, q); err != nil {
			s.End()
			return nil, mysession.Explain(err, t.conn.Name())
		}
	}
	return s, nil
}

// tuning returns the settings of a session that loads and builds, where so many build at a time. What lets InnoDB
// sort in more memory is the whole server's in MariaDB, and left alone; MySQL has a setting of the session's from 8.0.27 on.
func tuning(v mysession.Version, builders int) []string {
	if v.MariaDB {
		// Of MyISAM and Aria tables, which build their indexes while they are loaded.
		return []string{"SET SESSION bulk_insert_buffer_size = 67108864, myisam_sort_buffer_size = 134216704"}
	}
	if v.Num >= 8000027 {
		return []string{fmt.Sprintf("SET SESSION innodb_ddl_buffer_size = %d", max(256<<20/builders, 1<<20))}
	}
	return nil
}

// warn reports a warning once.
func (t *Target) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.warnMu.Lock()
	seen := t.warned[text]
	t.warned[text] = true
	t.warnMu.Unlock()
	if !seen {
		t.opts.Observe.Warn("restore", text)
	}
}

// Loaded lets go of what was needed to load.
func (t *Target) Loaded() { t.byID, t.taken = nil, stream.Taken{} }
