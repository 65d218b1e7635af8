package validate

import (
	"fmt"
	"time"

	"github.com/pgmove/pgmove/stream"
)

// Memo knows which tables an earlier validation of the same target found equal. What it tells is as old as it says: that a
// table has not been changed since can't be known.
type Memo interface {
	// Known returns when the table was found to have the digest, or, where rows were only counted, so many rows.
	Known(table, format string, want stream.Digest, counted bool) (time.Time, bool)
	// Keep notes that it has.
	Keep(table, format string, got stream.Digest, counted bool) error
}

// known takes an earlier verdict on a group.
func (g *group) known(m Memo, byRows bool) bool {
	if m == nil {
		return false
	}
	at, ok := m.Known(g.name, g.tables[0].Format, g.want, !byRows)
	if ok {
		g.got, g.checked = g.want, &at
	}
	return ok
}

// keep notes a group that is equal. A group that isn't is compared again next time.
func (g *group) keep(m Memo, byRows bool) error {
	if m == nil || len(g.gone) > 0 || byRows && g.got != g.want || g.got.Rows != g.want.Rows {
		return nil
	}
	return m.Keep(g.name, g.tables[0].Format, g.got, !byRows)
}

// recall says how many verdicts are not of this validation, and how old they may be.
func (r *Result) recall() {
	var oldest time.Time
	n := 0
	for i := range r.Tables {
		if at := r.Tables[i].Checked; at != nil {
			n++
			if oldest.IsZero() || at.Before(oldest) {
				oldest = *at
			}
		}
	}
	if n > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d of %d tables were not read again: an earlier validation found them equal, up to %s ago", n, len(r.Tables), time.Since(oldest).Round(time.Second)))
	}
}
