package dump

import (
	"context"

	"github.com/pgmove/pgmove/stream"
)

// Plan tells what Run would do with the snapshot, and reads no rows.
func Plan(ctx context.Context, snap Snapshot) (stream.Header, []stream.Entry, []stream.Chunk, error) {
	h, entries, err := snap.Entries(ctx)
	if err != nil {
		return h, nil, nil, err
	}
	plan, err := split(ctx, snap, stream.NewWriter(discard{}, true, stream.None), entries)
	return h, entries, plan, err
}
