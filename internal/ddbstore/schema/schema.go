// Package schema says what Nightshift's table looks like, as data that both the
// stack and the tests create it from. It knows names and key shapes; it must
// not know an SDK, the CDK or what a session is.
//
// One table holds everything. An item is found by its partition key pk and its
// sort key sk; <x> is an id in which "%" and "#" are escaped, or a hash of it
// where it is long:
//
//	pk                      sk                  what
//	S#<session>             STATE               newest state of a session
//	S#<session>             H#<20 digits>       history entry of that version; never changed but for done
//	U#<user>                FACTS               what is known of a user
//	R#<endpoint>#<run>      CLAIM               which session owns the run
//	E#<endpoint>            ENDPOINT            leases, wake counter
//	POLICY                  POLICY              what an administrator has set
//	PARKED#<event>          PARKED              an event that could not be used; expires
//	SAMPLE#<kind>           SAMPLE              count and first body of an unrecognised kind; expires
//	MARK#<name>             MARK                a named moment
//	ANCHOR                  A#<20 digits>       an anchor: a head over all chains; never changed
//
// The four indexes hold keys only: they say where to look, the table says what
// is there. So a commit that moves no key writes to no index.
//
//	index  partition                  sort                  items
//	gsi1   U#<user>                   opened                sessions not ENDED, of one user
//	gsi1   UNFINISHED#<shard>         entry's time          entries whose effects are not done
//	gsi1   PENDING                    pending since         users whose fan-out is not complete
//	gsi1   ENDPOINTS                  (hash)                every endpoint
//	gsi1   PARKED                     parked at             every parked event
//	gsi2   E#<endpoint>               opened                sessions not ENDED, of one endpoint
//	gsi3   DUE#<shard>                wake at               sessions the clock matters to
//	gsi4   LIST#<shard>               opened                every session
//	gsi4   CHANGE#<shard>             entry's time          entries that changed a session's status
//
// A sort key is a moment of fixed width and a hash of pk and sk, which makes it
// unique: it alone says where a page ended.
//
// UNFINISHED, DUE, LIST and CHANGE are written with every session and are spread
// over shards, by a hash of the session; PENDING, ENDPOINTS and PARKED are written by
// people and by mistakes, so one partition is enough. A list reads an index
// (eventually), then the items it names from the table (strongly), because what
// is decided must be decided on what is there; it asks all its shards at once.
// Ended sessions leave every list but LIST and CHANGE: what is listed each minute
// does not grow with the years. CHANGE is read by its time only: it says what the
// next anchor names, and what a proof of a period is made of.
//
// # Attributes
//
// Besides the keys an item has schema (Version), doc (its content as JSON) and,
// where it has them, the attributes that conditions and updates name: version,
// the optimistic lock; frozen, the hash of what never changes after the
// opening; hash and done of an entry; sessionId of a claim; wake of an
// endpoint; body, count, kind and at; expiresAt, the table's TTL.
//
// # What it costs
//
// Capacity units of each use, asserted against real engines by the conformance
// suite: writes in write units (1 KB each, 2 in a transaction), reads in read
// units (4 KB each, strongly; half of one, eventually). The items of the session
// here are below 1 KB each; each KB more costs what each write of it does.
//
//	Open                                   6 table, 2 gsi1, 1 gsi2, 1 gsi3, 2 gsi4
//	Open, the run is known                 8 table, 2 gsi1, 1 gsi2, 1 gsi3, 2 gsi4
//	Commit with effects                    4 table, 1 gsi1
//	Commit with a claim, without effects   6 table
//	Commit, the wake-up moves              4 table, 2 gsi3
//	Commit, the session ends               4 table, 2 gsi1, 1 gsi2, 1 gsi3, 1 gsi4
//	Finish                                 1 table, 1 gsi1
//	Finish, again                          1 table
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
//	Sample                                 1 table
//	PutAnchor, 1,000 heads                 126 table
//
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
//	Unfinished, 3 entries                  3 table, 4 gsi1
//	Changes, 3 entries                     3 table, 4 gsi4
//	Anchors, the newest, 1,000 heads       32 table
//	PendingUsers, none                     0.5 gsi1
//	Endpoints, 1                           1 table, 0.5 gsi1
//
// So a session that is opened, started, watched and ended is 40 to 50 write
// units, and the minute's round of a system in which nothing happens about 10
// read units, most of them for asking eight shards twice. An opening's condition
// on its user's facts is paid like a write. The figures follow the service's
// published rules; where the engines count otherwise, the suite says how.
package schema

// Version is the schema number written to each item. It grows when an older
// reader would misread what is written; fields that may be missing do not need
// it. A reader refuses a higher number than its own.
const Version = 1

// Names of the keys and of the attributes that the table itself acts on.
const (
	PartitionKey = "pk"
	SortKey      = "sk"
	TTLAttribute = "expiresAt"
)

// Shards is how many partitions the busy lists (UNFINISHED, DUE, LIST) are
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
