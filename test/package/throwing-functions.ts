import ts from 'typescript-api';
import { publicFunctions } from './public-functions.ts';

type Body = ts.FunctionLikeDeclaration | ts.SignatureDeclaration;

const isFunction = (node: ts.Node): node is ts.FunctionLikeDeclaration => ts.isFunctionLike(node) && 'body' in node;

/** Assumes that a function passed as an argument runs during the call, and that one that is stored or returned does not. */
const runsWithin = (node: ts.Node) => ts.isCallExpression(node.parent) || ts.isNewExpression(node.parent);

function hasThrow(node: ts.Node): boolean {
  if (ts.isThrowStatement(node)) return true;
  return !isFunction(node) && ts.forEachChild(node, hasThrow) === true;
}

/** Whether a function's body throws, apart from rethrows, and the functions it calls. */
function readBody(declaration: Body, checker: ts.TypeChecker): { throws: boolean; readonly calls: Set<Body> } {
  const found = { throws: false, calls: new Set<Body>() };
  const caught = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (isFunction(node) && !runsWithin(node)) return;
    if (ts.isTryStatement(node) && node.catchClause !== undefined) {
      const { block, variableDeclaration } = node.catchClause;
      if (variableDeclaration !== undefined) caught.add(variableDeclaration.name.getText());
      if (hasThrow(block)) visit(node.tryBlock); // otherwise no error leaves the block
      visit(block);
      if (node.finallyBlock !== undefined) visit(node.finallyBlock);
      return;
    }
    if (ts.isThrowStatement(node) && !caught.has(node.expression.getText())) found.throws = true;
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) {
      const called = checker.getResolvedSignature(node)?.declaration;
      if (called !== undefined && !ts.isJSDocSignature(called)) found.calls.add(called);
    }
    ts.forEachChild(node, visit);
  };
  if (isFunction(declaration) && declaration.body !== undefined) ts.forEachChild(declaration.body, visit);
  return found;
}

const saysWhatItThrows = (symbol: ts.Symbol, checker: ts.TypeChecker) =>
  symbol.getJsDocTags(checker).some(({ name }) => name === 'throws') ||
  /\bnever throws\b/i.test(ts.displayPartsToString(symbol.getDocumentationComment(checker)));

/** Public functions, and methods of public classes, that throw. */
export interface ThrowingFunctions {
  readonly count: number;
  /** Functions without `@throws` whose comment does not say that they never throw because of their input: `subpath: name`. */
  readonly silent: readonly string[];
}

/** Follows the calls of every public function through src/, as far as the compiler can resolve them. */
export function readThrowingFunctions(): ThrowingFunctions {
  const { checker, functions } = publicFunctions();
  const bodies = new Map<Body, ReturnType<typeof readBody>>();
  const bodyOf = (declaration: Body) => {
    const known = bodies.get(declaration) ?? readBody(declaration, checker);
    bodies.set(declaration, known);
    return known;
  };
  const throwsSomewhere = (body: Body) => {
    const reached = new Set([body]);
    for (const one of reached) {
      const { throws, calls } = bodyOf(one);
      if (throws) return true;
      for (const called of calls) reached.add(called);
    }
    return false;
  };

  const throwing = functions.filter(({ body }) => throwsSomewhere(body));
  const silent = throwing.filter(({ symbol }) => !saysWhatItThrows(symbol, checker)).map(({ path }) => path);
  return { count: throwing.length, silent };
}
