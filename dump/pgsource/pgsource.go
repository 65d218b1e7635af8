// Package pgsource reads a PostgreSQL database under one snapshot: its schema
// from pg_dump, its rows, sequences and large objects over COPY.
//
// It imports stream, stream/pgtoc, internal/pgsession and the driver. It never
// writes to the database, never builds DDL from the catalogs, and never prints.
package pgsource

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// LedgerSchema is the schema that pgmove keeps its ledger in, on targets. A
// source that was once a target may still have it; it is no data of the user's.
const LedgerSchema = "pgmove"

// LedgerComment begins the comment on a ledger's schema, which tells it from a
// user's schema of the same name.
const LedgerComment = "pgmove ledger"

// Options tunes a source.
type Options struct {
	// Jobs is how many sessions read rows; 1 where it is less.
	Jobs int
	// SplitSize is the size, in bytes on disk with TOAST, above which a table is
	// read in several chunks of about that size; 0 for DefaultSplitSize.
	SplitSize int64
	// BinDir is where pg_dump is taken from, one folder or several as PATH lists
	// them; "" searches the usual places.
	BinDir string
	// Encoding is the client encoding of rows and names; "" for the database's.
	Encoding string
	// Format is the form of the rows: "text" (also ""), or "binary" for COPY's binary format where
	// a table's columns allow it; "auto" is "binary". Stock pg_restore loads both into a
	// database, but prints only text.
	Format string
	// Share, where it isn't 0, is among how many workers the rows are shared, none of which keep chunks: they may then be as
	// large as an even share, up to 4 GiB.
	Share int
	// Selection restricts what is dumped.
	Selection stream.Selection
	// NoOwner and NoACL are noted in the archive: who restores it leaves owners
	// and privileges out.
	NoOwner, NoACL bool
	// Roles keeps the roles that the database refers to; see dump.RoleLister.
	Roles bool
	// Snapshot, where it isn't "", is the ID of the snapshot to read under, which another process holds (see
	// Hold); OrNew takes a new one where that is gone.
	Snapshot string
	OrNew    bool
	// OwnFilters refuses to read tables under conditions that aren't the server's own: who compares with a file did not
	// ask for SQL from it to be run.
	OwnFilters bool
	// NoSchema leaves pg_dump out: no schema entries, only what rows need.
	NoSchema bool
	// NoIndex says that nobody will ask for the Index: what it needs is not kept.
	NoIndex bool
	// Throttle bounds how many bytes of rows a second are read; nil for no bound.
	Throttle *stream.Throttle
	// Patience is how long an unreachable server is tried again.
	Patience time.Duration
	// Observe gets warnings.
	Observe stream.Observer
	// Side names the side in events: "dump" or "validate".
	Side string
}

// DefaultSplitSize is the size of chunks, in bytes; maxSplitSize is the size up to which Share lets them
// grow: a chunk that fails is read and loaded again from its beginning.
const (
	DefaultSplitSize = 256 << 20
	maxSplitSize     = 4 << 30
)

// Source is a PostgreSQL database opened for reading.
type Source struct {
	conn *pgsession.Conn
	opts Options
	// coordinator holds the locks and the snapshot; reads with it hold coMu.
	coordinator *pgsession.Session
	coMu        sync.Mutex
	workers     chan *worker
	lost        error // why the coordinator is gone; under coMu

	facts    stream.Source
	exported string // the ID of the snapshot that workers and pg_dump import: the coordinator's own
	versnum  int
	tool     *tool
	toc      *pgtoc.TOC
	entries  []stream.Entry
	rels     map[uint32]*relation
	locked   map[uint32]bool
	picked   *picked // what pg_dump takes the rows of; nil where its schema says that already
	share    int64   // see splitSize; 0 before it was computed
	blobs    int64   // large objects
	// onlyBlobs, where it is not empty, are the OIDs of the large objects that are read.
	onlyBlobs []string
	keys      [][]string // foreign keys, where a part is moved: name, table, table referred to
	seqs      []stream.SequenceValue
	schema    []stream.SchemaItem
	warnMu    sync.Mutex
	warnings  []stream.Text
	earlyMu   sync.Mutex
	early     []*pgsession.Session // of LoadedTo, none of them in use
	earlyOver bool
	hold      context.CancelFunc
	held      sync.WaitGroup

	ownEncoding string // the database's
	basesMu     sync.Mutex
	bases       map[uint32]uint32 // see readBases
}

// Open connects to the source and checks, without locking anything, that it can
// be dumped. Errors are Failures.
func Open(ctx context.Context, conn *pgsession.Conn, o Options) (*Source, error) {
	if err := checkFormat(o.Format); err != nil {
		return nil, err
	}
	if o.Jobs < 1 {
		o.Jobs = 1
	}
	if o.SplitSize <= 0 {
		o.SplitSize = DefaultSplitSize
	}
	if o.Side == "" {
		o.Side = "dump"
	}
	s := &Source{conn: conn, opts: o, rels: map[uint32]*relation{}}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	err := func() (err error) {
		if err := s.checkVersion(); err != nil {
			return err
		}
		if row, err := s.coordinator.Row(ctx, "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"); err == nil && len(row) > 0 {
			s.facts.SystemID = row[0]
		}
		row, err := s.coordinator.Row(ctx, "SELECT pg_catalog.pg_postmaster_start_time()::text, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())")
		if err == nil && len(row) > 0 {
			s.facts.Started, s.facts.DatabaseID = row[0], row[1]
		}
		if !o.NoSchema {
			if s.tool, err = findTool(ctx, o.BinDir, s.versnum); err != nil {
				return err
			}
			s.facts.DumpTool = s.tool.version
			if err := s.tool.knows(&o.Selection); err != nil {
				return err
			}
			if w := s.tool.staleFor(s.versnum); w != "" {
				s.warn(w)
			}
		}
		return s.preflight(ctx)
	}()
	if err != nil {
		s.Close()
		return nil, pgsession.Explain(err, conn.Name())
	}
	return s, nil
}

// connect opens the coordinator's session and notes the facts.
func (s *Source) connect(ctx context.Context) error {
	co, err := s.session(ctx)
	if err != nil {
		return err
	}
	s.coordinator, s.versnum, s.ownEncoding = co, co.VersionNum, co.Encoding
	if s.opts.Encoding == "" {
		s.opts.Encoding = co.Encoding
	}
	s.facts = stream.Source{Version: co.Version, VersionNum: co.VersionNum, Database: stream.Text(s.conn.Database()),
		Encoding: s.opts.Encoding, SearchPath: stream.Text(co.SearchPath), Session: pgsession.Pins(co.VersionNum, s.opts.Encoding),
		NoOwner: s.opts.NoOwner, NoACL: s.opts.NoACL, Selection: s.opts.Selection}
	return nil
}

func (s *Source) checkVersion() error {
	if s.versnum >= 100000 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: s.conn.Name(), Msg: "PostgreSQL " + s.facts.Version + " is too old"}).
		WithHint("pgmove reads PostgreSQL 10 and newer")
}

func (s *Source) session(ctx context.Context) (*pgsession.Session, error) {
	return pgsession.Connect(ctx, s.conn, pgsession.Options{Encoding: s.opts.Encoding, ReadOnly: true, OwnOnly: true, Patience: s.opts.Patience,
		Notice: func(n *pgconn.Notice) {
			if n.Severity == "WARNING" {
				s.warn("source: " + stream.Text(n.Message).Display())
			}
		}})
}

func (s *Source) warn(text string) {
	s.warnMu.Lock()
	s.warnings = append(s.warnings, stream.Text(text))
	s.warnMu.Unlock()
	s.opts.Observe.Warn(s.opts.Side, text)
}

// Facts tells about the server and its database.
func (s *Source) Facts() stream.Source { return s.facts }

// refusals are what keeps a source from being dumped whole, by the ids of their findings.
func (s *Source) refusals() []refusal {
	return []refusal{{"ledger-schema", s.checkLedgerSchema}, {"large-objects-unreadable", s.checkLargeObjects}, {"row-security", s.checkRowSecurity}}
}

type refusal struct {
	id    string
	check func(context.Context) error
}

// preflight refuses what could not be dumped whole.
func (s *Source) preflight(ctx context.Context) error {
	for _, r := range s.refusals() {
		if err := r.check(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) checkLedgerSchema(ctx context.Context) error {
	row, err := s.coordinator.Row(ctx, `SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace WHERE nspname = 'pgmove'`)
	if err != nil {
		return err
	}
	if row != nil && !strings.HasPrefix(row[0], LedgerComment) {
		return (&stream.Failure{Kind: stream.Preflight, Object: s.conn.Name(), Msg: "it has a schema named pgmove, which is the name of pgmove's ledger on a target"}).
			WithHint("rename that schema")
	}
	return nil
}

func (s *Source) checkLargeObjects(ctx context.Context) error {
	if !s.takesBlobs() {
		return nil
	}
	rows, err := s.coordinator.Rows(ctx, `SELECT m.oid FROM pg_catalog.pg_largeobject_metadata m
		WHERE NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
		AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(coalesce(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) a
			WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE'))) ORDER BY 1 LIMIT 100`)
	if err != nil || len(rows) == 0 {
		return err
	}
	return (&stream.Failure{Kind: stream.Denied, Object: s.conn.Name(),
		Msg: fmt.Sprintf("role %s may not read large object %s%s", s.conn.User(), rows[0][0], more(len(rows)-1))}).
		WithHint("grant it SELECT on the large objects, or run as their owner")
}

func (s *Source) checkRowSecurity(ctx context.Context) error {
	if !s.whole() || !s.opts.Selection.Has(stream.Data) {
		return nil
	}
	rows, err := s.coordinator.Rows(ctx, `SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND c.relpersistence <> 't'
		AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user)
		AND (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')) ORDER BY 1, 2`)
	if err != nil || len(rows) == 0 {
		return err
	}
	return s.hidesRows(rows)
}

// hidesRows is the failure where row-level security does that in tables, given as (namespace, name).
func (s *Source) hidesRows(rows [][]string) error {
	return (&stream.Failure{Kind: stream.Denied, Object: s.conn.Name(),
		Msg: fmt.Sprintf("row-level security hides rows from role %s in %s", s.conn.User(), nameList(rows))}).
		WithHint("run as a role with BYPASSRLS, or as the tables' owner where the policy is not forced")
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d or more others", n)
}

// nameList joins (namespace, name) rows for a message; firsts joins the first column of rows.
func nameList(rows [][]string) string { return firstTen(rows, 2) }
func firsts(rows [][]string) string   { return firstTen(rows, 1) }

func firstTen(rows [][]string, columns int) string {
	var names []string
	for i, r := range rows {
		if i == 10 {
			names = append(names, fmt.Sprintf("and %d more", len(rows)-i))
			break
		}
		var parts []string
		for _, v := range r[:columns] {
			parts = append(parts, stream.Text(v).Display())
		}
		names = append(names, strings.Join(parts, "."))
	}
	return strings.Join(names, ", ")
}

// Contents returns the sequences' values and the schema, after Entries.
func (s *Source) Contents() ([]stream.SequenceValue, []stream.SchemaItem) { return s.seqs, s.schema }

// Release ends the snapshot and closes all sessions. It returns an error where the
// snapshot was lost before: what was read after that is worth nothing.
func (s *Source) Release(ctx context.Context) error {
	s.coMu.Lock()
	err := s.lost
	if err == nil && s.coordinator != nil {
		if qerr := s.coordinator.Do(ctx, "COMMIT"); qerr != nil {
			err = s.snapshotLost(qerr)
		}
	}
	s.coMu.Unlock()
	s.Close()
	return err
}

func (s *Source) snapshotLost(err error) error {
	return stream.Last((&stream.Failure{Kind: stream.Outage, Object: s.conn.Name(), Msg: "the session that holds the snapshot is gone", Err: err}).
		WithHint("run again with --resume: what was finished is digested again, as rows read from now on are of another moment"))
}

// Close closes all sessions, whatever their state.
func (s *Source) Close() {
	s.endLoaded()
	if s.hold != nil {
		s.hold()
		s.held.Wait()
		s.hold = nil
	}
	var dead []pgsession.Backend
	if s.workers != nil {
		for range cap(s.workers) {
			w := <-s.workers
			dead = append(dead, w.dead)
			if w.sess != nil {
				dead = append(dead, w.sess.Backend)
			}
			w.end()
		}
		s.workers = nil
	}
	s.coMu.Lock()
	defer s.coMu.Unlock()
	if s.coordinator != nil {
		dead = append(dead, s.coordinator.Backend)
		s.coordinator.End()
		s.coordinator = nil
	}
	if s.lost != nil {
		s.bury(dead)
	}
}

// bury ends backends that don't know yet that they have lost us: their locks would stay for hours. It does what
// it can.
func (s *Source) bury(dead []pgsession.Backend) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	sess, err := pgsession.Connect(ctx, s.conn, pgsession.Options{ReadOnly: true})
	if err != nil {
		return
	}
	defer sess.End()
	for _, b := range dead {
		if sess.Bury(ctx, b) != nil {
			return
		}
	}
}

var errUnstable = errors.New("the tables changed while they were being locked")
