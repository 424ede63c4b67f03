# Dalli (Ruby) against the servers given: ruby dalli.rb <binary|meta> <address>...
# Prints one line per failed check; exit code 1 when there was any.
require 'dalli'
require 'securerandom'

protocol, *addresses = ARGV
$failed = 0
$checks = 0

def check(what, found, expected)
  $checks += 1
  return if found == expected

  $failed += 1
  puts "#{what}: found #{found.inspect[0, 200]}, expected #{expected.inspect[0, 200]}"
end

options = { socket_timeout: 20 }
options[:protocol] = :meta if protocol == 'meta'
dc = Dalli::Client.new(addresses, options)

check('flush', dc.flush_all.all?, true)

{ text: 'value', empty: '', int: 7, list: [1, { a: nil }], long: 'long ' * 50_000,
  bytes: SecureRandom.random_bytes(500_000), crlf: "a\r\nEND\r\n" }.each do |name, value|
  check("set #{name}", dc.set(name.to_s, value) ? true : false, true)
  check("get #{name}", dc.get(name.to_s), value)
end
check('get missing', dc.get('missing'), nil)
check('compressed', dc.set('packed', 'x' * 100_000, nil, compress: true) ? true : false, true)
check('get compressed', dc.get('packed'), 'x' * 100_000)
check('key with blanks', (dc.set('a key with blanks', 'x') rescue ArgumentError) ? true : false, true)

check('fetch', dc.fetch('made') { 'by the block' }, 'by the block')
check('fetch again', dc.fetch('made') { 'not called' }, 'by the block')
dc.replace('k', 'x') # whose result for a missing key differs between versions
check('not replaced', dc.get('k'), nil)
check('add', dc.add('k', 'one', 1000) ? true : false, true)
check('add again', dc.add('k', 'two') ? true : false, false)
check('replace', dc.replace('k', 'three') ? true : false, true)
check('get replaced', dc.get('k'), 'three')
check('touch', dc.touch('k', 1000) ? true : false, true)
check('touch missing', dc.touch('missing', 1000) ? true : false, false)
check('gat', dc.gat('k', 1000), 'three')
check('delete', dc.delete('k') ? true : false, true)
check('delete again', dc.delete('k') ? true : false, false)

dc.set('raw', 'middle', nil, raw: true)
check('append', dc.append('raw', '>') ? true : false, true)
check('prepend', dc.prepend('raw', '<') ? true : false, true)
check('get raw', dc.get('raw', raw: true), '<middle>')

check('incr missing', dc.incr('n'), nil)
check('incr with default', dc.incr('n', 1, 1000, 10), 10)
check('incr', dc.incr('n', 5), 15)
check('decr', dc.decr('n', 6), 9)
check('decr below 0', dc.decr('n', 100), 0)

check('cas', dc.cas('text') { |value| "#{value}!" } ? true : false, true)
check('get swapped', dc.get('text'), 'value!')
check('cas missing', dc.cas('missing') { 'x' }, nil)
value, cas = dc.get_cas('text')
check('get_cas', value, 'value!')
check('set_cas', dc.set_cas('text', 'new', cas) ? true : false, true)
check('set_cas again', dc.set_cas('text', 'newer', cas) ? true : false, false)
check('delete_cas', dc.delete_cas('text', cas) ? true : false, false)

pairs = (0...1000).to_h { |number| ["key#{number}", 'v' * number] }
dc.multi { pairs.each { |name, text| dc.set(name, text) } }
check('get_multi', dc.get_multi(pairs.keys + ['missing']), pairs)
check('get_multi_cas', dc.get_multi_cas('key1', 'key2').transform_values(&:first), { 'key1' => 'v', 'key2' => 'vv' })

too_large = begin
  dc.set('large', SecureRandom.random_bytes(3 << 20)) ? 'stored' : 'refused'
rescue Dalli::ValueOverMaxSize
  'refused'
end
check('too large', too_large, 'refused')
check('after too large', dc.set('after', 'fine') ? true : false, true)
check('get after too large', dc.get('after'), 'fine')

check('stats', dc.stats.values.all? { |stats| stats['pid'].to_i > 1 }, true)
check('stats items', dc.stats(:items).values.all? { |stats| !stats.nil? }, true)
check('version', dc.version.values.all? { |version| version =~ /\A\d+\.\d+\.\d+/ }, true)
check('alive', dc.alive!.nil?, false) if dc.respond_to?(:alive!)
dc.close

puts "#{$checks} checks, #{$failed} failed"
exit($failed.positive? || $checks < 40 ? 1 : 0)
