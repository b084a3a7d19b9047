package session

import (
	"reflect"
	"testing"
	"time"
)

// TestSameKnowsEveryField: two sessions that differ anywhere are not the same.
func TestSameKnowsEveryField(t *testing.T) {
	var s Session
	if again := s; !s.same(&again) {
		t.Fatal("a session is not the same as itself")
	}
	looked := 0
	var alter func(path string, v reflect.Value)
	alter = func(path string, v reflect.Value) {
		before := reflect.New(v.Type()).Elem()
		before.Set(v)
		switch at, isTime := v.Interface().(time.Time); {
		case isTime:
			v.Set(reflect.ValueOf(at.Add(time.Nanosecond)))
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				alter(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
			return
		case v.Kind() == reflect.String:
			v.SetString("x")
		case v.Kind() == reflect.Bool:
			v.SetBool(true)
		case v.CanInt():
			v.SetInt(1)
		case v.CanUint():
			v.SetUint(1)
		case v.CanFloat():
			v.SetFloat(1)
		case v.Kind() == reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		default:
			t.Fatalf("%s is of a kind that this test does not know: %s", path, v.Kind())
		}
		if looked++; s.same(&Session{}) {
			t.Errorf("%s differs, and it is said to be the same", path)
		}
		v.Set(before)
	}
	alter("Session", reflect.ValueOf(&s).Elem())
	if looked < 60 {
		t.Errorf("only %d fields were looked at", looked)
	}
}
