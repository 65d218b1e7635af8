package stream

import "time"

// Event is something that happened, for whoever shows progress.
type Event struct {
	Kind EventKind
	// Side is "dump", "restore" or "validate".
	Side string
	// Object names what it happened to.
	Object string
	// Entry is the data entry or entry it happened to, 0 for none.
	Entry DumpID
	// Rows and Bytes are those of this event alone; Total and TotalBytes, for EventPlan,
	// what is to come.
	Rows, Bytes int64
	Count       int
	Took        time.Duration
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
	// EventPlan: Count chunks of Bytes bytes are to come, by the source's estimate.
	EventPlan
	// EventRows: Rows rows and Bytes bytes more have passed.
	EventRows
	// EventChunk: a chunk is finished.
	EventChunk
	// EventEntry: Count entries were applied.
	EventEntry
	// EventTable: a table was compared.
	EventTable
	// EventRole: the role Object was created on the target.
	EventRole
	// EventWarning: something the user should know; it goes into the report.
	EventWarning
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
