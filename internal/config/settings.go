package config

import (
	"regexp"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/workload"
)

// settings are an endpoint's own numbers in the variable's JSON; what is not
// given is as the table of package cadence says for the endpoint's api.
type settings struct {
	StopsPerSecond *float64 `json:"stopsPerSecond"`
	StopBurst      *int     `json:"stopBurst"`
	StopsAtOnce    *int     `json:"stopsAtOnce"`
	PageSize       *int     `json:"pageSize"`
	YoungSeconds   *int     `json:"youngSeconds"`
	SettledSeconds *int     `json:"settledSeconds"`
	InstanceType   string   `json:"instanceType"`
	InstanceCount  int      `json:"instanceCount"`
}

// The most that may be set. An endpoint is not listed more seldom than its
// table says: what an event loses is found within that time (S3.5a), and the
// watch's lease is made for it.
const (
	stopsPerSecondMax = 100
	stopBurstMax      = 1_000
	stopsAtOnceMax    = 64
	pageSizeMax       = 10_000
	listedEachMin     = 10 // seconds
)

// settings reads an endpoint's numbers.
func (e endpointReader) settings(raw settings, api string) cadence.Endpoint {
	set := cadence.Of(api)
	if v := raw.StopsPerSecond; v != nil {
		if *v <= 0 || *v > stopsPerSecondMax {
			e.failf("stopsPerSecond", "is %g; it must be more than 0 and at most %d.", *v, stopsPerSecondMax)
		}
		set.Stop.PerSecond = *v
	}
	e.number("stopBurst", raw.StopBurst, 1, stopBurstMax, &set.Stop.Burst)
	e.number("stopsAtOnce", raw.StopsAtOnce, 1, stopsAtOnceMax, &set.Parallel)
	if raw.PageSize != nil && api != apiLivy {
		e.failf("pageSize", "is given; only endpoints of livy have one to set.")
	}
	e.number("pageSize", raw.PageSize, 1, pageSizeMax, &set.Page)
	young, settled := int(set.Young/time.Second), int(set.Settled/time.Second)
	most := settled
	e.number("youngSeconds", raw.YoungSeconds, listedEachMin, young, &young)
	e.number("settledSeconds", raw.SettledSeconds, listedEachMin, most, &settled)
	if young > settled {
		e.failf("youngSeconds", "is %d and settledSeconds is %d; a run that is young must not be looked at more seldom.", young, settled)
	}
	set.Young, set.Settled = time.Duration(young)*time.Second, time.Duration(settled)*time.Second
	return set
}

// number reads a whole number into what stands there by default.
func (e endpointReader) number(field string, v *int, least, most int, into *int) {
	if v == nil {
		return
	}
	if *v < least || *v > most {
		e.failf(field, "is %d; it must be a whole number from %d to %d.", *v, least, most)
	}
	*into = *v
}

const instanceCountMax = 10_000

var instanceForm = regexp.MustCompile(`^[a-z0-9-]{1,32}\.[a-z0-9-]{1,32}$`)

// hardware reads on what a Livy server's cluster runs: no API of Livy's tells,
// and its sessions and notebooks are priced by it (S8.5). Both or none are given.
func (e endpointReader) hardware(raw settings, api string) (b workload.Billing) {
	switch {
	case raw.InstanceType == "" && raw.InstanceCount == 0:
		return b
	case api != apiLivy:
		e.failf("instanceType", "or instanceCount is given; only endpoints of livy have them to set.")
	case !instanceForm.MatchString(raw.InstanceType):
		e.failf("instanceType", `is %q; it must be the type of the cluster's instances, such as "m5.xlarge", and be given with instanceCount.`, raw.InstanceType)
	case raw.InstanceCount < 1 || raw.InstanceCount > instanceCountMax:
		e.failf("instanceCount", "is %d; it must be a whole number from 1 to %d, and be given with instanceType.", raw.InstanceCount, instanceCountMax)
	}
	b.On(raw.InstanceType, raw.InstanceCount)
	return b
}
