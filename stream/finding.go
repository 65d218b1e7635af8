package stream

import (
	"errors"
	"time"
)

// Severity says what a finding means for a move.
type Severity string

// The severities, the worst first.
const (
	// Block: the move can't be done as it stands.
	Block Severity = "block"
	// Warn: it may fail, or arrive otherwise than one expects.
	Warn Severity = "warn"
	// Note: worth knowing.
	Note Severity = "note"
)

// Finding is something about a source, a target or an archive's place that could stop or spoil a move, found before it begins.
type Finding struct {
	// ID is the kind of finding; it stays the same from version to version.
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	// Side is where it was found: "source", "target" or "via".
	Side   string `json:"side"`
	Object string `json:"object"`
	// Msg is what was found and what it means, Hint what to do.
	Msg  string `json:"message"`
	Hint string `json:"hint,omitempty"`
	// Err is the failure that a run would end with; nil unless the severity is Block.
	Err error `json:"-"`
}

// Findings collects what is found on one side. Severities lists the kinds that there are.
type Findings struct {
	Side, Object string
	Severities   map[string]Severity
	List         []Finding
}

// Add adds a finding about the side's object.
func (f *Findings) Add(id, msg, hint string) {
	f.List = append(f.List, Finding{ID: id, Severity: f.Severities[id], Side: f.Side, Object: f.Object, Msg: msg, Hint: hint})
}

// Refused adds the finding that a failure stands for. An error that is no refusal, such as a lost connection, is returned.
func (f *Findings) Refused(id string, err error) error {
	switch KindOf(err) {
	case Preflight, Denied, Busy, Usage:
		f.Failed(id, err)
		return nil
	}
	return err
}

// Failed adds the finding that an error stands for, whatever its kind.
func (f *Findings) Failed(id string, err error) {
	msg, hint, object := err.Error(), "", f.Object
	var known *Failure
	if errors.As(err, &known) {
		msg, hint = known.Msg, known.Hint
		if known.Err != nil {
			msg += ": " + known.Err.Error()
		}
		if known.Object != "" {
			object = known.Object
		}
	}
	f.Add(id, msg, hint)
	last := &f.List[len(f.List)-1]
	last.Object, last.Err = object, err
}

// Needs is what a source asks of a target, as far as its catalogs tell before anything is read.
type Needs struct {
	Source Source
	// Entries are a sketch of those to come: schemas, extensions, one object for each owner, in schema public and elsewhere, and for each tablespace.
	Entries []Entry
	// Roles are those that a dump would keep; nil where it would not.
	Roles []Role
	// Extensions are the versions of the extensions, by name.
	Extensions map[Text]string
	// Locale describes the database's collation, in the engine's own words: what it is called, and its version.
	Locale map[string]string
	// Privileged names what no ordinary role can create.
	Privileged []string
	// Tables counts the tables, partitions among them; Bytes is the size of the database on disk.
	Tables int
	Bytes  int64
	// Clock is by how much the server's clock is ahead of this machine's.
	Clock time.Duration
	// What follows only MySQL and MariaDB tell. Collations are those of tables and columns; Settings are the server's own, by name.
	Collations []string
	Settings   map[string]string
	// Keyless names the tables that have no primary key, Versioned those that keep their rows' past, Running the events that
	// are switched on, and Namers the programs whose text names their own database.
	Keyless, Versioned, Running, Namers []string
}

// Offer is what a target tells of itself.
type Offer struct {
	VersionNum int
	Clock      time.Duration
}
