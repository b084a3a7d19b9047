// Package s3sim speaks the part of Amazon S3's protocol that lists objects, with
// virtual times; for the local system and for tests. It keeps names and times, no
// contents, and checks no signatures.
package s3sim

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pageMax is how many objects S3 lists at once.
const pageMax = 1000

// Sim is S3. It is an http.Handler; buckets are the first part of the path.
type Sim struct {
	mu      sync.Mutex
	objects map[string]map[string]time.Time // by bucket and key
	refused map[string]string               // codes, by bucket
}

// New gives an S3 without buckets.
func New() *Sim {
	return &Sim{objects: map[string]map[string]time.Time{}, refused: map[string]string{}}
}

// Put writes an object at a time; its bucket is made where there is none.
func (s *Sim) Put(bucket, key string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[bucket] == nil {
		s.objects[bucket] = map[string]time.Time{}
	}
	s.objects[bucket][key] = at
}

// Refuse answers requests about a bucket with an error's code; "" no more.
func (s *Sim) Refuse(bucket, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[bucket] = code
}

type object struct {
	Key          string
	LastModified string
	ETag         string
	Size         int
	StorageClass string
}

type listing struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	KeyCount              int
	MaxKeys               int
	IsTruncated           bool
	NextContinuationToken string   `xml:",omitempty"`
	Contents              []object `xml:"Contents"`
}

type failure struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
}

var statuses = map[string]int{"AccessDenied": 403, "NoSuchBucket": 404, "SlowDown": 503, "InternalError": 500, "PermanentRedirect": 301}

// ServeHTTP answers one request.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, there := s.objects[bucket]
	switch code := s.refused[bucket]; {
	case code != "":
		answer(w, statuses[code], failure{Code: code, Message: "it was planted"})
	case r.Method != http.MethodGet || key != "" || query.Get("list-type") != "2":
		answer(w, http.StatusNotImplemented, failure{Code: "NotImplemented", Message: "only ListObjectsV2 is simulated"})
	case !there:
		answer(w, http.StatusNotFound, failure{Code: "NoSuchBucket", Message: "The specified bucket does not exist"})
	default:
		answer(w, http.StatusOK, list(bucket, objects, query))
	}
}

// list is one page, in the order of the keys; the token is the last key before it.
func list(bucket string, objects map[string]time.Time, query url.Values) listing {
	prefix, after := query.Get("prefix"), query.Get("continuation-token")
	most := pageMax
	if n, err := strconv.Atoi(query.Get("max-keys")); err == nil && n > 0 && n < pageMax {
		most = n
	}
	var keys []string
	for k := range objects {
		if strings.HasPrefix(k, prefix) && k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	out := listing{Name: bucket, Prefix: prefix, MaxKeys: most, IsTruncated: len(keys) > most}
	if out.IsTruncated {
		keys = keys[:most]
		out.NextContinuationToken = keys[most-1]
	}
	for _, k := range keys {
		out.Contents = append(out.Contents, object{Key: k, LastModified: objects[k].UTC().Format("2006-01-02T15:04:05.000Z"), ETag: `"d41d8cd98f00b204e9800998ecf8427e"`, StorageClass: "STANDARD"})
	}
	out.KeyCount = len(keys)
	return out
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("X-Nightshift-Simulated", "true")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(v) // the caller has gone; there is nobody to tell
}
