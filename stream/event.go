package stream

import "time"

// Event is something that happened, for whoever shows progress or draws up a report.
type Event struct {
	Kind EventKind
	// Side is "dump", "restore", "validate" or "verify".
	Side string
	// What is the kind of work, for EventPlan, EventBegin and EventEnd.
	What Work
	// Object names what it happened to.
	Object string
	// Entry is the data entry or entry it happened to, 0 for none, and Section an entry's section.
	Entry   DumpID
	Section Section
	// Part counts the parts of a table from 0, of Parts; both are 0 for what has none.
	Part, Parts int
	// Worker is who did it, counted from 1 within a side; 0 is a side's one thread that does things in order. What
	// is read back while rows are loaded has the number of the restore's worker that does it.
	Worker int
	// Rows and Bytes are those of this event alone. For EventPlan, Bytes is what is to come.
	Rows, Bytes int64
	// Planned is what the plan counts this work as: of a chunk the bytes by the source's estimate, of an
	// entry those of the table that it works on.
	Planned int64
	Count   int
	// Began is when the work began that Took is the time of; zero where it was not measured.
	Began time.Time
	Took  time.Duration
	// Text is a warning's or a phase's text, or TakenBefore.
	Text string
}

// TakenBefore is the text of an EventChunk whose chunk was finished by an earlier process of the run.
const TakenBefore = "taken before"

// EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	// EventPhase: a side begins a new phase, named in Text; "" where it has ended.
	EventPhase EventKind = iota + 1
	// EventPlan: Count chunks, tables to read back or entries of a Section, of Bytes bytes by the source's estimate, are
	// to come beside those that have ended.
	EventPlan
	// EventRows: Rows rows and Bytes bytes more have passed; less, where a chunk failed.
	EventRows
	// EventChunk: a chunk is finished. Its bytes came as EventRows before.
	EventChunk
	// EventEntry: Count entries were applied; 0 of an entry's first stage.
	EventEntry
	// EventTable: a table was compared.
	EventTable
	// EventRole: the role Object was created on the target.
	EventRole
	// EventWarning: something the user should know; it goes into the report.
	EventWarning
	// EventBegin: a worker begins with something, or with Count entries of which Object is the first.
	EventBegin
	// EventEnd: it has ended, well or not; if well, EventChunk or EventEntry came before it.
	EventEnd
	// EventRetry: what an outage stopped is tried again, as Text tells; a warning too.
	EventRetry
)

// Work is a kind of work.
type Work uint8

// The kinds of work.
const (
	// WorkChunk is a part of a table that is read, loaded or read back.
	WorkChunk Work = iota + 1
	// WorkEntry is one entry, or several in one transaction.
	WorkEntry
	// WorkAnalyze gathers the statistics of one table or several.
	WorkAnalyze
)

// Observer takes events as they come, from several goroutines. A nil Observer takes none.
type Observer func(Event)

// Send hands an event to the observer, if there is one.
func (o Observer) Send(e Event) {
	if o != nil {
		o(e)
	}
}

// Warn sends a warning.
func (o Observer) Warn(side, text string) {
	o.Send(Event{Kind: EventWarning, Side: side, Text: text})
}

// Retry sends the warning that an object's work is tried again.
func (o Observer) Retry(side, object, text string) {
	o.Send(Event{Kind: EventRetry, Side: side, Object: object, Text: text})
}
