namespace Flint.TestKit.Guest;

/// <summary>What must work in every guest and is not certain in a fork of an interpreter, which no interpreter was made for. Each is a function whose result is true.</summary>
public static class GuestFeatures
{
    /// <summary>Each the body of an asynchronous function that returns true.</summary>
    private static readonly Dictionary<string, string> Node = new()
    {
        { "timers", "const t = []; setTimeout(() => t.push(2), 5); setTimeout(() => t.push(1), 1); const i = setInterval(() => t.push(0), 1); await new Promise((r) => setTimeout(r, 20)); clearInterval(i); return t.indexOf(1) < t.indexOf(2) && t.includes(0);" },
        { "timers/promises", "return await require('timers/promises').setTimeout(1, true);" },
        { "promises", "return (await Promise.all([1, Promise.resolve(2), (async () => 3)()])).join() === '1,2,3' && (await Promise.any([Promise.reject(1), 4])) === 4;" },
        { "microtasks", "const o = []; queueMicrotask(() => o.push(2)); process.nextTick(() => o.push(1)); await new Promise((r) => setImmediate(r)); return o.sort().join() === '1,2';" },
        { "fs.promises", "const p = '/tmp/f' + process.pid; await fs.promises.writeFile(p, 'x'); const t = await fs.promises.readFile(p, 'utf8'); await fs.promises.unlink(p); return t === 'x';" },
        { "thread pool", "return (await Promise.all(Array.from({ length: 32 }, () => fs.promises.stat('/')))).every((s) => s.isDirectory());" },
        { "zlib", "const z = require('zlib'); const p = util.promisify; const b = await p(z.gzip)('y'.repeat(1e5)); return (await p(z.gunzip)(b)).length === 1e5 && z.brotliDecompressSync(z.brotliCompressSync('q')).toString() === 'q';" },
        { "crypto async", "return (await util.promisify(crypto.scrypt)('p', 's', 32)).length === 32 && (await util.promisify(crypto.pbkdf2)('p', 's', 1000, 32, 'sha256')).length === 32;" },
        { "crypto keys", "const { privateKey, publicKey } = await util.promisify(crypto.generateKeyPair)('ec', { namedCurve: 'P-256' }); return crypto.verify('sha256', Buffer.from('m'), publicKey, crypto.sign('sha256', Buffer.from('m'), privateKey));" },
        { "webcrypto", "const k = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['encrypt', 'decrypt']); const iv = crypto.getRandomValues(new Uint8Array(12)); return (await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, k, new Uint8Array(8))).byteLength === 24;" },
        { "WebAssembly sync", Wasm + "return new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports.add(2, 3) === 5;" },
        { "WebAssembly async", Wasm + "return (await WebAssembly.instantiate(await WebAssembly.compile(bytes))).exports.add(2, 3) === 5;" },
        { "WebAssembly streaming", Wasm + "return (await WebAssembly.instantiateStreaming(new Response(bytes, { headers: { 'content-type': 'application/wasm' } }))).instance.exports.add(2, 3) === 5;" },
        { "WebAssembly hot", Wasm + "const { add } = (await WebAssembly.instantiate(bytes)).instance.exports; let n = 0; for (let i = 0; i < 5e6; i++) n = add(n, 1); return n === 5e6;" },
        { "worker_threads", "const w = new (require('worker_threads').Worker)(\"const { parentPort: p } = require('worker_threads'); p.on('message', (m) => { p.postMessage(m * 2); p.close(); })\", { eval: true }); let m; w.on('message', (x) => m = x); w.postMessage(21); return await new Promise((r, j) => w.on('exit', (c) => r(m === 42 && c === 0)).on('error', j));" },
        // Node tells the message and the end in one turn then: who asks for the end only after the message would never hear of it.
        { "worker that ended unheard", "const w = new (require('worker_threads').Worker)(\"require('worker_threads').parentPort.postMessage(42)\", { eval: true }); const got = []; const end = new Promise((r, j) => w.on('message', (m) => got.push(m)).on('exit', (c) => r(got.push(c))).on('error', j)); const tasks = () => fs.readdirSync('/proc/self/task').length; const before = tasks(); setImmediate(() => { const late = Date.now() + 5000; while (tasks() >= before && Date.now() < late); }); await end; return got.join() === '42,0';" },
        { "many workers", "const { Worker } = require('worker_threads'); const run = () => new Promise((r, j) => new Worker('let a = []; for (let i = 0; i < 1e5; i++) a.push({ i }); a = null', { eval: true }).on('exit', r).on('error', j)); return (await Promise.all([run(), run(), run(), run()])).every((c) => c === 0);" },
        { "heaps that grow and shrink", "const churn = 'let ok = true; for (let r = 0; r < 12; r++) { const a = []; for (let i = 0; i < 6e4; i++) a.push({ i, t: String(i) }); ok = ok && a.every((o, i) => o.i === i && o.t === String(i)); } '; const { Worker } = require('worker_threads'); const run = () => new Promise((r, j) => new Worker(churn + 'process.exit(ok ? 7 : 1)', { eval: true }).on('exit', r).on('error', j)); const ends = [run(), run()]; const own = new Function(churn + 'return ok')(); return own && (await Promise.all(ends)).join() === '7,7';" },
        { "worker terminate", "const w = new (require('worker_threads').Worker)('while (true) {}', { eval: true }); await new Promise((r) => w.on('online', r)); return (await w.terminate()) === 1;" },
        { "SharedArrayBuffer", "const b = new Int32Array(new SharedArrayBuffer(4)); const w = new (require('worker_threads').Worker)(\"const b = require('worker_threads').workerData; Atomics.store(b, 0, 7); Atomics.notify(b, 0)\", { eval: true, workerData: b }); Atomics.wait(b, 0, 0, 5000); await w.terminate(); return b[0] === 7;" },
        { "spawn", "const c = require('child_process').spawn('/bin/sh', ['-c', 'cat; exit 3']); let o = ''; c.stdout.on('data', (d) => o += d); c.stdin.end('in'); return await new Promise((r) => c.on('close', (s) => r(s === 3 && o === 'in')));" },
        { "exec", "return (await util.promisify(require('child_process').exec)('echo $((6*7))')).stdout === '42\\n' && require('child_process').execFileSync('/bin/echo', ['x']).toString() === 'x\\n';" },
        { "child_process.fork", "fs.writeFileSync('/tmp/c' + process.pid + '.js', \"process.on('message', (m) => process.send([m, process.execArgv.length, process.env.LD_PRELOAD ?? 0], () => process.exit(5)))\"); const c = require('child_process').fork('/tmp/c' + process.pid + '.js'); c.send('hi'); const m = await new Promise((r) => c.on('message', r)); const s = await new Promise((r) => c.on('exit', r)); return m.join() === 'hi,2,0' && s === 5;" },
        { "child Node", "return require('child_process').execFileSync(process.execPath, ['-p', '1+1']).toString() === '2\\n';" },
        { "http", "const h = require('http'); const s = h.createServer((q, a) => a.end('hello ' + q.url)).listen(0, '127.0.0.1'); await new Promise((r) => s.on('listening', r)); const t = await new Promise((r, j) => h.get({ port: s.address().port, path: '/p', host: '127.0.0.1' }, (a) => { let b = ''; a.on('data', (d) => b += d).on('end', () => r(b)); }).on('error', j)); s.close(); return t === 'hello /p';" },
        { "fetch", "const s = require('http').createServer((q, a) => q.pipe(a)).listen(0, '127.0.0.1'); await new Promise((r) => s.on('listening', r)); const a = await fetch('http://127.0.0.1:' + s.address().port, { method: 'POST', body: 'echo' }); const t = await a.text(); s.close(); s.closeAllConnections(); return t === 'echo';" },
        { "net", "const n = require('net'); const p = '/tmp/s' + process.pid; const s = n.createServer((c) => c.end('x')).listen(p); await new Promise((r) => s.on('listening', r)); const d = await new Promise((r) => n.connect(p).on('data', r)); s.close(); return String(d) === 'x';" },
        { "dns", "return (await require('dns').promises.lookup('127.0.0.1')).address === '127.0.0.1';" },
        { "dynamic import", "const p = '/tmp/m' + process.pid + '.mjs'; fs.writeFileSync(p, \"import { join } from 'node:path'; export const v = await Promise.resolve(join('a', 'b'));\"); return (await import(p)).v === 'a/b' && (await import('node:os')).EOL === '\\n';" },
        { "require of JSON and addons of Node", "fs.writeFileSync('/tmp/j' + process.pid + '.json', '{\"a\":1}'); return require('/tmp/j' + process.pid + '.json').a === 1 && require('module').builtinModules.every((m) => m.startsWith('_') || /test|wasi|inspector|trace/.test(m) || require(m));" },
        { "Intl", "return new Intl.DateTimeFormat('de', { month: 'long', timeZone: 'UTC' }).format(new Date(0)) === 'Januar' && (1234.5).toLocaleString('de') === '1.234,5' && ['b', 'a'].sort(new Intl.Collator().compare)[0] === 'a';" },
        { "time zone", "process.env.TZ = 'Asia/Tokyo'; const h = new Date(0).getHours(); process.env.TZ = 'UTC'; return h === 9 && new Date(0).getHours() === 0;" },
        { "FinalizationRegistry", "require('v8').setFlagsFromString('--expose-gc'); const gc = require('vm').runInNewContext('gc'); let n = 0; const f = new FinalizationRegistry(() => n++); (() => { for (let i = 0; i < 10; i++) f.register({ i }, i); })(); for (let i = 0; i < 50 && n === 0; i++) { gc(); await new Promise((r) => setTimeout(r, 5)); } return n > 0;" },
        { "WeakRef", "require('v8').setFlagsFromString('--expose-gc'); const gc = require('vm').runInNewContext('gc'); const w = (() => new WeakRef({}))(); for (let i = 0; i < 50 && w.deref(); i++) { await new Promise((r) => setTimeout(r, 1)); gc(); } return w.deref() === undefined;" },
        { "Atomics.waitAsync", "const b = new Int32Array(new SharedArrayBuffer(4)); const t = Atomics.waitAsync(b, 0, 0, 10); const k = setTimeout(() => {}, 3000); const late = await t.value; const n = Atomics.waitAsync(b, 0, 0); Atomics.notify(b, 0); const r = await n.value; clearTimeout(k); return late === 'timed-out' && r === 'ok';" },
        { "streams", "const { pipeline } = require('stream/promises'); const { Readable, Transform } = require('stream'); let o = ''; await pipeline(Readable.from(['a', 'b']), new Transform({ transform(c, e, d) { d(null, String(c).toUpperCase()); } }), async (s) => { for await (const c of s) o += c; }); const w = await new Response(new Blob(['xyz']).stream()).text(); return o === 'AB' && w === 'xyz';" },
        { "AbortSignal.timeout", "const s = AbortSignal.timeout(5); const k = setTimeout(() => {}, 3000); await new Promise((r) => s.addEventListener('abort', r)); clearTimeout(k); return s.reason.name === 'TimeoutError';" },
        { "structuredClone", "const m = structuredClone(new Map([[1, new Date(0)]])); return m.get(1).getTime() === 0;" },
        { "MessageChannel", "const { port1, port2 } = new MessageChannel(); port1.postMessage({ a: 1 }); const m = await new Promise((r) => port2.on('message', r)); port2.close(); return m.a === 1;" },
        { "AsyncLocalStorage", "const s = new (require('async_hooks').AsyncLocalStorage)(); return await s.run(5, async () => { await null; await new Promise((r) => setTimeout(r, 1)); return s.getStore() === 5; });" },
        { "signals", "const got = new Promise((r) => process.on('SIGUSR2', r)); process.kill(process.pid, 'SIGUSR2'); const k = setTimeout(() => {}, 3000); const s = await got; clearTimeout(k); return s === 'SIGUSR2';" },
        { "performance", "const t = performance.now(); performance.mark('a'); await new Promise((r) => setTimeout(r, 10)); const m = performance.measure('m', 'a'); return t < 5000 && process.uptime() < 5 && Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 50 && m.duration >= 9 && m.duration < 2000 && performance.getEntriesByName('a')[0].startTime >= t;" },
        { "identity", "return String(process.pid) === fs.readlinkSync('/proc/self') && process.argv[1].endsWith('/node/bootstrap.js') && process.argv.length === 2 && process.execArgv.join().startsWith('--max-old-space-size=') && process.env.LD_PRELOAD === undefined && !fs.readFileSync('/proc/self/environ', 'latin1').includes('LD_PRELOAD') && require('os').hostname() === fs.readFileSync('/proc/sys/kernel/hostname', 'utf8').trim();" },
        { "vm", "const vm = require('vm'); return vm.runInContext('x + 1', vm.createContext({ x: 1 })) === 2 && new vm.Script('3').runInThisContext() === 3;" },
        { "optimised code", "function f(n) { let s = 0; for (let i = 0; i < n; i++) s = (s + i * 7) % 1000003; return s; } const a = f(3e6); return f(3e6) === a && (function d(n) { return n === 0 ? 0 : 1 + d(n - 1); })(5000) === 5000;" },
        { "garbage collection", "let k = []; for (let i = 0; i < 2e6; i++) { k.push({ i, t: 'x' + i }); if (k.length > 50000) k = k.slice(25000); } return k.length > 0;" },
        { "large buffers", "const b = Buffer.alloc(64 << 20, 1); return b[b.length - 1] === 1 && new Uint8Array(32 << 20).length === 32 << 20;" },
        { "diagnostics", "return require('v8').getHeapStatistics().heap_size_limit < 300 * 1048576 && typeof require('perf_hooks').monitorEventLoopDelay().enable() === 'boolean' && process.memoryUsage().rss > 0 && process.report.getReport().header.processId === process.pid;" },
    };

    /// <summary>Each the body of a function that returns True.</summary>
    private static readonly Dictionary<string, string> Python = new()
    {
        { "threading", "r = []; t = [threading.Thread(target=r.append, args=(i,)) for i in range(8)]; [x.start() for x in t]; [x.join() for x in t]; return sorted(r) == list(range(8)) and threading.current_thread() is threading.main_thread() and threading.main_thread().ident == threading.get_ident()" },
        { "timers", "e = threading.Event(); threading.Timer(0.01, e.set).start(); return e.wait(5)" },
        { "executors", "with concurrent.futures.ThreadPoolExecutor(4) as p: return list(p.map(lambda x: x * 2, range(4))) == [0, 2, 4, 6]" },
        { "multiprocessing", "import multiprocessing; c = multiprocessing.get_context('fork'); a, b = c.Pipe(); p = c.Process(target=b.send, args=(5,)); p.start(); v = a.recv(); p.join(); return v == 5 and p.exitcode == 0" },
        { "multiprocessing keys", "import multiprocessing.process; return len(multiprocessing.process.current_process().authkey) == 32" },
        { "subprocess", "return subprocess.run(['/bin/sh', '-c', 'cat; exit 3'], input=b'in', capture_output=True).stdout == b'in' and subprocess.run([sys.executable, '-c', 'import os; print(os.environ.get(\"LD_PRELOAD\"))'], capture_output=True, text=True).stdout == 'None\\n'" },
        { "os.fork", "p = os.fork(); p or os._exit(7); return os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) == 7" },
        { "asyncio", "return asyncio.run(gathered()) == [1, 2]" },
        { "asyncio subprocess", "return asyncio.run(shell()) == b'x\\n'" },
        { "asyncio servers", "return asyncio.run(echo()) == b'hello'" },
        { "ssl", "return ssl.create_default_context().check_hostname and len(ssl.RAND_bytes(8)) == 8 and ssl.MemoryBIO() is not None" },
        { "hashlib", "return hashlib.sha256(b'').hexdigest()[:8] == 'e3b0c442' and hmac.new(b'k', b'm', 'sha1').hexdigest()[:4] and len(hashlib.scrypt(b'p', salt=b's', n=2, r=1, p=1)) == 64" },
        { "sqlite3", "c = sqlite3.connect('/tmp/db%d' % os.getpid()); c.execute('create table t(x)'); c.execute('insert into t values (4)'); c.commit(); v = c.execute('select x from t').fetchone(); c.close(); os.unlink('/tmp/db%d' % os.getpid()); return v == (4,)" },
        { "ctypes", "import ctypes; l = ctypes.CDLL('libc.so.6'); l.getenv.restype = ctypes.c_char_p; os.environ['FROM_PYTHON'] = 'x'; return l.getpid() == os.getpid() and l.getenv(b'FROM_PYTHON') == b'x' and l.getenv(b'LD_PRELOAD') is None" },
        { "signals", "g = []; signal.signal(signal.SIGUSR1, lambda s, f: g.append(s)); os.kill(os.getpid(), signal.SIGUSR1); signal.setitimer(signal.ITIMER_REAL, 0); return g == [signal.SIGUSR1]" },
        { "alarms", "g = []; signal.signal(signal.SIGALRM, lambda s, f: g.append(s)); signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause(); return g == [signal.SIGALRM]" },
        { "tempfile", "f = tempfile.NamedTemporaryFile(); f.write(b'x'); f.flush(); return os.path.getsize(f.name) == 1 and f.name.startswith('/tmp/')" },
        { "decimal", "return decimal.Decimal('1') / 3 == decimal.Decimal('0.3333333333333333333333333333') and decimal.getcontext().prec == 28" },
        { "zoneinfo", "return datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')).utcoffset() == datetime.timedelta(hours=2)" },
        { "time zone", "os.environ['TZ'] = 'Asia/Tokyo'; time.tzset(); return time.localtime(0).tm_hour == 9" },
        { "urllib over http", "s = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler); threading.Thread(target=s.handle_request).start(); a = urllib.request.urlopen('http://127.0.0.1:%d/main.py' % s.server_port).read(); return b'def handler' in a" },
        { "locale and text", "return sys.getfilesystemencoding() == 'utf-8' and locale.getpreferredencoding() == 'UTF-8' and unicodedata.name('\u00e9').endswith('ACUTE') and '\u00e9'.encode('idna') == b'xn--9ca'" },
        { "garbage collection", "class A: pass\n    w = []\n    for i in range(1000):\n        a = A(); a.me = a; w.append(weakref.ref(a))\n    del a; gc.collect(); return gc.isenabled() and all(x() is None for x in w)" },
        { "weakref.finalize", "g = []; o = set.__class__('T', (), {})(); weakref.finalize(o, g.append, 1); del o; return g == [1]" },
        { "import of more", "import xmlrpc.client, tarfile, bz2, lzma, imaplib, graphlib, tomllib, wsgiref.util; return True" },
        { "identity", "return os.getpid() == int(os.readlink('/proc/self')) and sys.argv[0].endswith('/python/bootstrap.py') and sys.modules['__main__'].__file__ == sys.argv[0] and 'LD_PRELOAD' not in os.environ and b'LD_PRELOAD' not in open('/proc/self/environ', 'rb').read() and time.perf_counter() > 0 and sys.flags.no_site == 1 and threading.active_count() == 1" },
        { "logging", "r = logging.LogRecord('n', 20, 'p', 1, 'm', (), None); return r.relativeCreated < 60000 and r.process == os.getpid() and len(logging.getLogger().handlers) == 1" },
        { "faulthandler and traceback", "import faulthandler; faulthandler.enable(); \n    try: 1 / 0\n    except ZeroDivisionError: return 'ZeroDivisionError' in traceback.format_exc()" },
        { "contextvars", "v = contextvars.ContextVar('v', default=1); return contextvars.copy_context().run(lambda: (v.set(2), v.get())[1]) == 2 and v.get() == 1" },
        { "many objects", "return len([{'i': i, 's': str(i)} for i in range(300000)]) == 300000" },
    };

    private const string Wasm =
        "const bytes = Buffer.from('0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b', 'hex'); ";

    private const string PythonHead = """
        import asyncio, concurrent.futures, contextvars, datetime, decimal, gc, hashlib, hmac, http.server, locale, logging, os, signal, sqlite3, ssl, subprocess
        import sys, tempfile, threading, time, traceback, unicodedata, urllib.request, weakref, zoneinfo
        async def gathered():
            loop = asyncio.get_running_loop()
            return await asyncio.gather(loop.run_in_executor(None, lambda: 1), asyncio.wait_for(asyncio.sleep(0.01, 2), 5))
        async def shell():
            child = await asyncio.create_subprocess_exec("/bin/echo", "x", stdout=asyncio.subprocess.PIPE)
            return (await child.communicate())[0]
        async def echo():
            async def serve(reader, writer):
                writer.write(await reader.read(5)); writer.close()
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello"); answer = await reader.read(); writer.close(); server.close()
            return answer
        def handler(event, context):
        """;

    /// <summary>The names of a runtime's features.</summary>
    public static IEnumerable<string> Of(string runtime) => IsPython(runtime) ? Python.Keys : Node.Keys;

    /// <summary>A module (main.py, main.js) whose <c>handler</c> answers true.</summary>
    public static string Source(string runtime, string feature) => IsPython(runtime)
        ? PythonHead + "\n    " + Python[feature] + "\n"
        : "const fs = require('fs'); const util = require('util'); const crypto = require('crypto');\nexports.handler = async () => { " + Node[feature] + " };";

    private static bool IsPython(string runtime) => runtime.StartsWith("python", StringComparison.Ordinal);
}
