// Package schema says what Nightshift's table looks like, as data that both the
// stack and the tests create it from. It knows names and key shapes; it must
// not know an SDK, the CDK or what a session is.
//
// One table holds everything. An item is found by its partition key pk and its
// sort key sk; <x> is an id in which "%" and "#" are escaped, or a hash of it
// where it is long:
//
//	pk                      sk                  what
//	S#<session>             STATE               newest state of a session and the newest entries of its history
//	S#<session>             H#<20 digits>       older entries, up to that version; never changed
//	S#<session>             T#<hash>            a task token that is too long for the state; expires
//	U#<user>                FACTS               what is known of a user
//	R#<endpoint>#<run>      CLAIM               which session owns the run
//	E#<endpoint>            ENDPOINT            leases, wake counter
//	POLICY                  POLICY              what an administrator has set
//	PARKED#<event>          PARKED              an event that could not be used; expires
//	SAMPLE#<kind>           SAMPLE              count and first body of an unrecognised kind; expires
//	MARK#<name>             MARK                a named moment
//	ANCHOR                  A#<20 digits>       an anchor: a head over all chains; never changed
//	N#<notebook>            NOTEBOOK            where a notebook runs, and its move
//	L#<name>                LEDGER              who has reserved of one scarce thing
//
// One write changes a session: its item has the state and, with it, the entry that
// says why (internal/decisions/0024). Entries that would make the item dearer by a
// KB are first copied into a block of their own, from which they can be read as
// long as the session is known. Each entry carries its hash and that of the one
// before it, wherever it stands.
//
// The four indexes hold keys only: they say where to look, the table says what
// is there. So a commit that moves no key writes to no index.
//
//	index  partition                  sort                  items
//	gsi1   U#<user>                   opened                sessions not ENDED, of one user
//	gsi1   PENDING                    pending since         users whose fan-out is not complete
//	gsi1   ENDPOINTS                  (hash)                every endpoint
//	gsi1   PARKED                     parked at             every parked event
//	gsi1   SAMPLED                    (hash)                every kind of event that is not recognised
//	gsi1   MOVES                      since                 notebooks that are being moved
//	gsi2   E#<endpoint>               opened                sessions not ENDED, of one endpoint
//	gsi2   NOTEBOOKS                  (hash)                every notebook
//	gsi3   DUE#<shard>                wake at, or before    sessions the clock matters to, and with effects not done
//	gsi3   OVER#<shard>               ended                 the other sessions that have ended
//	gsi4   LIST#<shard>               recorded              every session
//
// A sort key is a moment of fixed width and a hash of pk and sk, which makes it
// unique: it alone says where a page ended.
//
// DUE, OVER and LIST are written with every session and are spread
// over shards, by a hash of the session; PENDING, ENDPOINTS and PARKED are written by
// people and by mistakes, so one partition is enough. A list reads an index
// (eventually), then the items it names from the table (strongly), because what
// is decided must be decided on what is there; it asks all its shards at once.
// Ended sessions leave every list but LIST and OVER: what is listed each minute
// does not grow with the years.
//
// What changed a session's status in a time, of which the next anchor and a proof
// of a period are made, is found without an index of its own: by LIST, who was
// opened in it; by DUE, who is ending; by OVER, who has ended since.
//
// # Schema 1
//
// Before, each entry was an item, H#<version>, with the attributes hash and done, in
// gsi1 as UNFINISHED#<shard> until its effects were done, and in gsi4 as
// CHANGE#<shard> where it changed the status; documents were strings; LIST was by
// opening. All that is still read; a session that is written again goes on in
// schema 2. An older version refuses what it would misread.
//
// # Attributes
//
// Besides the keys an item has schema (Version or Plain), doc (its content as JSON,
// packed where that is smaller) and, where it has them, the attributes that
// conditions and updates name: version, the optimistic lock; undone, the versions
// whose effects are not known to be done; settled, which of them the newest write
// found done, by which the stream tells it from a commit; frozen, the hash of what
// never changes after the opening; hash of an anchor; sessionId of a claim; wake of
// an endpoint; body, count, kind and at; expiresAt, the table's TTL.
//
// # What it costs
//
// Capacity units of each use, asserted against real engines by the conformance
// suite: writes in write units (1 KB each, 2 in a transaction), reads in read
// units (4 KB each, strongly; half of one, eventually). The items of the session
// here are below 1 KB each; each KB more costs what each write of it does.
//
//	Open                                   4 table, 1 gsi1, 1 gsi2, 1 gsi3, 1 gsi4
//	Open, the run is known                 6 table, 1 gsi1, 1 gsi2, 1 gsi3, 1 gsi4
//	Commit with effects                    1 table
//	Commit with a claim, without effects   4 table
//	Commit, the wake-up moves              1 table, 2 gsi3
//	Commit, the session ends               1 table, 1 gsi1, 1 gsi2, 2 gsi3
//	Finish, others are left                1 table
//	Finish, and the clock is next          1 table, 2 gsi3
//	Finish, of what has ended              1 table, 2 gsi3
//	Reclaim                                1 table
//	PutUser, the fan-out begins            1 table, 1 gsi1
//	PutUser, the fan-out is complete       1 table, 1 gsi1
//	PutUser, nothing pending               1 table
//	PutEndpoint, the first time            1 table, 1 gsi1
//	PutEndpoint                            1 table
//	Wake                                   1 table
//	PutPolicy                              1 table
//	SetMark                                1 table
//	Park, a body of 1.5 KB                 2 table, 1 gsi1
//	Sample, the first time                 1 table, 1 gsi1
//	PutAnchor, 1,000 heads                 39 table
//	PutNotebook, the first time            1 table, 1 gsi2
//	PutNotebook, a move begins             1 table, 1 gsi1
//	PutLedger                              1 table
//
//	Finish, again                          1 table
//	Session                                1 table
//	Sessions, 2 of them                    2 table
//	History, 5 entries                     1 table
//	Claimed                                1 table
//	User                                   1 table
//	Endpoint                               1 table
//	Policy                                 1 table
//	Mark                                   1 table
//	OfUser, 1 session                      1 table, 0.5 gsi1
//	OfUser, none                           0.5 gsi1
//	OfEndpoint, 1 session                  1 table, 0.5 gsi2
//	Due, none                              4 gsi3
//	Due, 1 session                         1 table, 4 gsi3
//	List, 2 sessions                       2 table, 4 gsi4
//	Unfinished, 1 entry                    1 table, 4 gsi1, 4 gsi3
//	Changes, of 2 sessions                 4 table, 8 gsi3, 8 gsi4
//	Anchors, the newest, 1,000 heads       10 table
//	PendingUsers, none                     0.5 gsi1
//	Endpoints, 1                           1 table, 0.5 gsi1
//	Notebook                               1 table
//	Notebooks, 1                           1 table, 0.5 gsi2
//	Moves, 1                               1 table, 0.5 gsi1
//	Ledger                                 1 table
//
// So a session that is opened, started, watched, told twice that its end is near
// and stopped is less than 40 write units, anchors and all (decisions/0024 has them
// one by one), and the minute's round of a system in which nothing happens about 14
// read units, most of them for asking eight shards three times. An opening's
// condition on its user's facts is paid like a write. The figures follow the
// service's published rules; where the engines count otherwise, the suite says how.
package schema

// Version is the schema number written to each item. It grows when an older
// reader would misread what is written; fields that may be missing do not need
// it. A reader refuses a higher number than its own.
const Version = 2

// Plain is the schema number of items that are written as they were in the first
// version: their document is a string. Of version 2 are sessions, the blocks of
// their histories, and anchors: their documents may be packed, and a session has
// the newest entries of its history in it.
const Plain = 1

// Names of the keys and of the attributes that the table itself acts on.
const (
	PartitionKey = "pk"
	SortKey      = "sk"
	TTLAttribute = "expiresAt"
)

// Shards is how many partitions the busy lists (DUE, OVER, LIST) are
// spread over; each takes about 1,000 writes a second. Changing it loses what
// is listed under the shards that go away.
const Shards = 8

// Retention is how long, in days, parked events and samples are kept.
const Retention = 90

// String is the type of every key attribute, in DynamoDB's words.
const String = "S"

// KeysOnly is the projection of every index, in DynamoDB's words.
const KeysOnly = "KEYS_ONLY"

// StreamNewImage is the stream's view type, in DynamoDB's words.
const StreamNewImage = "NEW_IMAGE"

// Attribute is a key attribute.
type Attribute struct {
	Name string
	Type string
}

// Index is a global secondary index; items without both its keys are not in it.
type Index struct {
	Name         string
	PartitionKey Attribute
	SortKey      Attribute
	Projection   string
}

// Table is what a table is created from. It is billed per request.
type Table struct {
	PartitionKey Attribute
	SortKey      Attribute
	Indexes      []Index
	StreamView   string
	TTLAttribute string
}

// The indexes.
var (
	GSI1 = index("gsi1")
	GSI2 = index("gsi2")
	GSI3 = index("gsi3")
	GSI4 = index("gsi4")
)

func index(name string) Index {
	return Index{
		Name:         name,
		PartitionKey: Attribute{Name: name + "pk", Type: String},
		SortKey:      Attribute{Name: name + "sk", Type: String},
		Projection:   KeysOnly,
	}
}

// Definition is Nightshift's table.
func Definition() Table {
	return Table{
		PartitionKey: Attribute{Name: PartitionKey, Type: String},
		SortKey:      Attribute{Name: SortKey, Type: String},
		Indexes:      []Index{GSI1, GSI2, GSI3, GSI4},
		StreamView:   StreamNewImage,
		TTLAttribute: TTLAttribute,
	}
}

// Attributes lists every key attribute of the table and its indexes, each once.
func (t Table) Attributes() []Attribute {
	out := []Attribute{t.PartitionKey, t.SortKey}
	for _, i := range t.Indexes {
		out = append(out, i.PartitionKey, i.SortKey)
	}
	return out
}
