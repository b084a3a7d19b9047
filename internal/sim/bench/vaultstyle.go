package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// vaultStyle is an expiration manager in the manner of Vault and OpenBao, after
// its published description, in words and code of our own: what such a manager
// does with a lease whose time has come, and no more. It models
//
//   - one timer a lease, and one queue of due leases, served by a fixed number
//     of workers (200 by default);
//   - for each: the lease's entry read from the store and decoded, the backend
//     called, then the entry and its index by token removed;
//   - a call that fails: the lease's own timer again, after 10 s doubled with
//     each try and spread by a factor of 0.5 to 1.5;
//   - the sixth failure: the lease is irrevocable. It is not tried again before
//     a sweep that comes once a day, which is why it counts as stranded here.
//
// It does not model the encryption of the store, tokens, namespaces, metrics or
// replication: the real one is slower by what those cost. peers' figures of the
// real one (OpenBao, 200 workers, 2 cores, in-memory store): about 7,000
// revokes a second with an instant backend, 2,800 with one of 50 ms.
type vaultStyle struct {
	clock   chains
	workers int
	revoke  func(lease string) error // the backend

	mu          sync.Mutex
	store       map[string][]byte // lease entries, as JSON
	byToken     map[string]string
	queue       []string
	working     int
	tries       map[string]int
	revoked     map[string]time.Time
	irrevocable map[string]bool
}

const (
	vaultWorkers = 200
	vaultTries   = 6
	vaultBackoff = 10 * time.Second
	vaultSpread  = 0.5 // a pause is 1 ± this of its length
)

// chains are what time means to a manager: goroutines and the wall clock, or
// the chains of a virtual one.
type chains interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
	Go(f func())
}

// leaseEntry is what the store keeps of a lease.
type leaseEntry struct {
	LeaseID    string            `json:"lease_id"`
	Token      string            `json:"client_token"`
	Path       string            `json:"path"`
	Data       map[string]string `json:"data"`
	IssueTime  time.Time         `json:"issue_time"`
	ExpireTime time.Time         `json:"expire_time"`
}

func newVaultStyle(t chains, workers int, revoke func(lease string) error) *vaultStyle {
	return &vaultStyle{clock: t, workers: workers, revoke: revoke, store: map[string][]byte{}, byToken: map[string]string{},
		tries: map[string]int{}, revoked: map[string]time.Time{}, irrevocable: map[string]bool{}}
}

// register keeps a lease until it expires.
func (v *vaultStyle) register(id string, expires time.Time) error {
	now := v.clock.Now()
	body, err := json.Marshal(leaseEntry{LeaseID: id, Token: "token-" + id, Path: "engine/creds/run", Data: map[string]string{"run": id}, IssueTime: now, ExpireTime: expires})
	if err != nil {
		return fmt.Errorf("register lease: %w", err)
	}
	v.mu.Lock()
	v.store[id], v.byToken["token-"+id] = body, id
	v.mu.Unlock()
	v.after(id, expires.Sub(now))
	return nil
}

// after puts the lease into the queue when its timer fires.
func (v *vaultStyle) after(id string, d time.Duration) {
	v.clock.Go(func() {
		if v.clock.Sleep(context.Background(), d) != nil {
			return
		}
		v.mu.Lock()
		v.queue = append(v.queue, id)
		hire := v.working < v.workers
		if hire {
			v.working++
		}
		v.mu.Unlock()
		if hire {
			v.clock.Go(v.work)
		}
	})
}

// work serves the queue until it is empty.
func (v *vaultStyle) work() {
	for {
		v.mu.Lock()
		if len(v.queue) == 0 {
			v.working--
			v.mu.Unlock()
			return
		}
		id := v.queue[0]
		v.queue = v.queue[1:]
		v.mu.Unlock()
		v.expire(id)
	}
}

// expire revokes one lease, or sees to it that it is tried again.
func (v *vaultStyle) expire(id string) {
	v.mu.Lock()
	body, ok := v.store[id]
	v.mu.Unlock()
	var entry leaseEntry
	err := errors.New("the lease is not there")
	if ok {
		err = json.Unmarshal(body, &entry)
	}
	if err == nil {
		err = v.revoke(entry.LeaseID)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		delete(v.store, id)
		delete(v.byToken, entry.Token)
		v.revoked[id] = v.clock.Now()
		return
	}
	v.tries[id]++
	if v.tries[id] >= vaultTries {
		v.irrevocable[id] = true
		return
	}
	pause := vaultBackoff << v.tries[id]
	v.after(id, time.Duration(float64(pause)*(1-vaultSpread+2*vaultSpread*rand.Float64()))) //nolint:gosec // a spread is no secret
}
