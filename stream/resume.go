package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Part names a chunk whatever its key: the N-th of a data entry.
type Part struct {
	Table DumpID
	N     int
}

// Part names the chunk.
func (c *Chunk) Part() Part { return Part{c.Table, c.N} }

// Taken is what a target has taken for good: entries, and chunks with their digests.
type Taken struct {
	Entries map[DumpID]bool
	// Early are entries of which the first of two stages was taken.
	Early  map[DumpID]bool
	Chunks map[Part]Digest
}

// Records are the chunks of a plan that were taken.
func (t *Taken) Records(plan []Chunk) (out []Record) {
	for _, c := range plan {
		if d, ok := t.Chunks[c.Part()]; ok {
			out = append(out, Record{Chunk: c, Digest: d})
		}
	}
	return out
}

// Resumed says that a run goes on from another one, under another snapshot: what that one's
// target took stands, but for the data entries in Again, whose rows come again.
type Resumed struct {
	Run   string   `json:"run"`
	Again []DumpID `json:"again,omitempty"`
}

// Since returns what comes again to a target that took part in the run; false where this
// archive doesn't go on from it.
func (h *Header) Since(run string) (again []DumpID, ok bool) {
	if run == h.Run {
		return nil, true
	}
	for i := range h.Resumes {
		if h.Resumes[i].Run == run {
			for _, r := range h.Resumes[i:] {
				again = append(again, r.Again...)
			}
			slices.Sort(again)
			return slices.Compact(again), true
		}
	}
	return nil, false
}

// SameSnapshot reports whether two snapshots provably show the same rows.
//
// View lists the transactions that a snapshot sees; equal lists see equal rows, as long as transaction
// numbers mean the same. They don't after a crash or a failover that lost commits, when
// numbers are given out anew: Instance tells of these. A snapshot that one process held all
// the time is the same whatever happened. Where anything is unknown the answer is no.
func (s *Source) SameSnapshot(o *Source) bool {
	if s.SystemID == "" || s.SystemID != o.SystemID || s.Database != o.Database || s.View == "" || s.View != o.View {
		return false
	}
	return s.Instance != "" && s.Instance == o.Instance || s.Held && o.Held && s.Snapshot == o.Snapshot
}

// SameOrigin returns a Failure of kind NotResumable where two dumps can't be of one database, and
// one of kind Usage where they don't select the same of it.
func (s *Source) SameOrigin(o *Source) error {
	if s.Database != o.Database || s.SystemID != o.SystemID {
		return Fail(NotResumable, "the run began with another source: database %s of system %s, this is %s of %s",
			o.Database.Display(), orUnknown(o.SystemID), s.Database.Display(), orUnknown(s.SystemID)).
			WithHint("give the source that the run began with; else start afresh, with an empty target database and an empty archive location")
	}
	if s.NoOwner != o.NoOwner || s.NoACL != o.NoACL || s.Encoding != o.Encoding {
		return Fail(Usage, "the run began with another selection of what is moved").
			WithHint("give --schema, --table, --no-owner and --no-acl as they were given at first")
	}
	return s.Selection.Same(&o.Selection)
}

func orUnknown(s string) string {
	if s == "" {
		return "(unknown)"
	}
	return s
}

// Print identifies an entry without its SQL, which may hold a secret.
type Print struct {
	Name string `json:"name"`
	// Hash is of the entry but for its place among the others, which Links is of, and for what changes
	// without a change of the schema, which Value is of.
	Hash  string `json:"hash"`
	Links string `json:"links"`
	Value string `json:"value,omitempty"`
}

// Prints identifies entries, in their order.
func Prints(entries []Entry) []Print {
	out := make([]Print, len(entries))
	for i := range entries {
		e := entries[i]
		p := Print{Name: e.Desc.Display() + " " + e.Name(), Links: hashOf(e.ID, e.Dependencies, e.Locks)}
		if e.Section == Sequences {
			p.Value = hashOf(e.Defn)
			e.Defn = ""
		}
		e.ID, e.Dependencies, e.Locks, e.CatalogID = 0, nil, nil, [2]uint32{}
		if e.Table != nil {
			t := *e.Table
			t.Bytes, t.Rows, t.Root = 0, 0, 0
			e.Table = &t
		}
		p.Hash = hashOf(e)
		out[i] = p
	}
	return out
}

func hashOf(v ...any) string {
	b, _ := json.Marshal(v) // of these types it can't fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// SameSchema returns a Failure of kind NotResumable that names the entries that changed.
func SameSchema(before, now []Print) error {
	count := map[[2]string]int{}
	for _, p := range before {
		count[[2]string{p.Name, p.Hash}]++
	}
	for _, p := range now {
		count[[2]string{p.Name, p.Hash}]--
	}
	var names []string
	for k, n := range count {
		if n != 0 {
			names = append(names, k[0])
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	linked := slices.EqualFunc(before, now, func(a, b Print) bool { return a.Links == b.Links })
	if len(names) == 0 && linked {
		return nil
	}
	what := "the order of its objects is another one"
	if n := len(names); n > 0 {
		what = strings.Join(names[:min(n, 5)], ", ")
		if n > 5 {
			what += fmt.Sprintf(" and %d more", n-5)
		}
	}
	return Fail(NotResumable, "the schema has changed since the run began: %s", what).
		WithHint("start afresh: drop and create the target database, delete the archive, and run again; pgmove snapshot --hold keeps the schema from changing")
}

// SameValues reports whether sequences stand where they stood.
func SameValues(before, now []Print) bool {
	return slices.EqualFunc(before, now, func(a, b Print) bool { return a.Value == b.Value })
}

// Prior is what an earlier dump of a run left behind: in an archive's store, or on a direct run's target.
type Prior struct {
	Header Header
	Prints []Print
	Plan   []Chunk
	// Records are those of the chunks that are finished for good.
	Records []Record
	// Objects are the archive's metadata as it is stored; Done is what its last heartbeat listed,
	// and Beats its number. They are empty for a direct run.
	Objects []Object
	Done    []DumpID
	Beats   int64
	// Torn marks an archive whose metadata are of two runs, of which one goes on from the other.
	Torn bool
}

// Commits are the parts of which a target's server said that it has them. A crash, or a failover, may take the last of them back.
type Commits struct {
	mu    sync.Mutex
	parts map[Part]bool
}

// Note notes a part.
func (c *Commits) Note(p Part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parts == nil {
		c.parts = map[Part]bool{}
	}
	c.parts[p] = true
}

// Seek returns what is to be called with each part that the ledger has, and what then returns an error, the last of all tries,
// where one of those noted before is not among them. Object is the target's name.
func (c *Commits) Seek(object string) (found func(Part), verdict func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := maps.Clone(c.parts)
	return func(p Part) { delete(left, p) }, func() error {
		if len(left) == 0 {
			return nil
		}
		return Last((&Failure{Kind: Outage, Object: object,
			Msg: fmt.Sprintf("the server lost %d transactions that it had committed, when it crashed or failed over", len(left))}).
			WithHint("run again with --resume: the ledger knows what is there"))
	}
}

// LostLedger is the error where a target has lost the ledger itself.
func LostLedger(object string) error {
	return Last((&Failure{Kind: Outage, Object: object, Msg: "the server lost the ledger that it had committed, when it crashed or failed over"}).
		WithHint("run again with --resume: it starts afresh where nothing is left"))
}
